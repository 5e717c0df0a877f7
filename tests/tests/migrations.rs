//! The schema goes up and back.

use cronmon_tests::databases::{empty_database, pool};
use database::{Pool, migrations};

/// Everything that migrations make, as text.
async fn schema(pool: &Pool) -> Vec<String> {
    let statement = "
        select 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
        from information_schema.columns where table_schema = 'public' and table_name not like 'refinery%'
        union all
        select 'index ' || indexdef from pg_indexes where schemaname = 'public' and tablename not like 'refinery%'
        union all
        select 'routine ' || pg_get_functiondef(p.oid)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'public'
        order by 1";
    let rows = pool.get().await.unwrap().query(statement, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn every_migration_can_be_taken_back_and_applied_again() {
    let pool = pool(&empty_database().await, 2);
    let mut client = pool.get().await.unwrap();
    let applied = migrations::up(&mut client).await.unwrap();
    assert!(applied.len() >= 2, "{applied:?}");
    let whole = schema(&pool).await;
    assert!(migrations::up(&mut client).await.unwrap().is_empty());

    let mut taken_back = 0;
    while migrations::revert(&mut client).await.unwrap().is_some() {
        taken_back += 1;
    }
    assert_eq!(taken_back, applied.len());
    assert_eq!(schema(&pool).await, Vec::<String>::new());

    migrations::up(&mut client).await.unwrap();
    assert_eq!(schema(&pool).await, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_that_migrate_at_once_come_one_after_the_other() {
    let pool = pool(&empty_database().await, 6);
    let all = (0..6).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { migrations::up(&mut pool.get().await.unwrap()).await })
    });
    let mut applied = 0;
    for one in all.collect::<Vec<_>>() {
        applied += one.await.unwrap().unwrap().len();
    }
    let undos = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/undo")).unwrap();
    assert_eq!(applied, undos.count());
}

/// Somebody else migrates for too long; then it is Postgres that stops, and nothing goes on behind our back.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_has_an_end() {
    let pool = pool(&empty_database().await, 2);
    let other = pool.get().await.unwrap();
    other.batch_execute("select pg_advisory_lock(7165912477172985344)").await.unwrap();
    let mut client = pool.get().await.unwrap();
    let limit = Some(std::time::Duration::from_millis(300));
    let error = migrations::up_within(&mut client, limit).await.unwrap_err();
    assert_eq!(error, "db error: 57014 canceling statement due to statement timeout");
    drop(other);
}
