//! Ping keys: the right to ping a tenant's monitors by their slugs.

use database::Pool;
use rand::RngExt as _;
use serde_json::Value;
use uuid::Uuid;

/// A new key of the tenant `acme`.
pub async fn new_ping_key(pool: &Pool) -> String {
    let mut random = rand::rng();
    let key: String = (0..22)
        .map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[random.random_range(0..36)]))
        .collect();
    let statement = "insert into ping_key (ping_key_id, tenant, name, key_hash, key_begins, created_at) \
         values (gen_random_uuid(), 'acme', 'k', sha256(convert_to($1, 'UTF8')), left($1, 4), now())";
    pool.get().await.unwrap().execute(statement, &[&key]).await.unwrap();
    key
}

/// The slug of a monitor that the API shows.
pub async fn slug_of(pool: &Pool, monitor: &Value) -> String {
    let monitor_id: Uuid = monitor["monitor_id"].as_str().unwrap().parse().unwrap();
    let statement = "select slug from monitor where monitor_id = $1";
    pool.get().await.unwrap().query_one(statement, &[&monitor_id]).await.unwrap().get(0)
}
