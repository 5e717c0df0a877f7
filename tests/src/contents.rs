//! What a database holds, so that a test can say that nothing changed.

use std::collections::BTreeMap;

use database::Pool;

/// Of each table how many rows it has, and a digest of them. A row that was written again without a
/// change counts as another row.
pub async fn contents(pool: &Pool) -> BTreeMap<String, (i64, String)> {
    let client = pool.get().await.unwrap();
    let tables =
        client.query("select tablename::text from pg_tables where schemaname = 'public'", &[]).await.unwrap();
    let each: Vec<String> = tables
        .iter()
        .map(|row| {
            let table: String = row.get(0);
            format!(
                "select '{table}' as name, count(*), \
                 coalesce(md5(string_agg(t.xmin::text || t::text, '|' order by t::text)), '') from {table} t"
            )
        })
        .collect();
    let rows = client.query(&each.join(" union all "), &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

/// The single number that a statement answers with.
pub async fn count(pool: &Pool, statement: &str) -> i64 {
    pool.get().await.unwrap().query_one(statement, &[]).await.unwrap().get(0)
}
