//! A database for each test: cloned from a template that was migrated once.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use database::{Pool, Recycling, connect, migrations};
use tokio::sync::OnceCell;
use uuid::Uuid;

static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// The cluster that `make test` starts. Databases in it are the tests' to make.
fn cluster_url() -> String {
    std::env::var("TEST_DATABASE_URL")
        .expect("TEST_DATABASE_URL is missing: run `make test`, which starts a PostgreSQL for the tests")
}

fn url_of(database: &str) -> String {
    let cluster = cluster_url();
    let (server, _) = cluster.rsplit_once('/').expect("TEST_DATABASE_URL ends in a database's name");
    format!("{server}/{database}")
}

/// The URL of a new database with the schema.
pub async fn new_database() -> String {
    let template = TEMPLATE.get_or_init(make_template).await;
    let name = format!("cronmon_test_{}", Uuid::new_v4().simple());
    execute_in_cluster(&format!("create database {name} template {template}")).await;
    url_of(&name)
}

/// The URL of a new database without a schema.
pub async fn empty_database() -> String {
    let name = format!("cronmon_test_{}", Uuid::new_v4().simple());
    execute_in_cluster(&format!("create database {name}")).await;
    url_of(&name)
}

/// Drops a database of [`new_database`], whoever is still connected to it.
pub async fn drop_database(url: &str) {
    let (_, name) = url.rsplit_once('/').expect("the URL ends in a database's name");
    execute_in_cluster(&format!("drop database {name} with (force)")).await;
}

#[must_use]
pub fn pool(url: &str, size: usize) -> Pool {
    connect(url, size, Recycling::Fast).unwrap()
}

/// Named by the test binary, so that several of them don't wait for each other.
async fn make_template() -> String {
    let mut hasher = DefaultHasher::new();
    std::env::current_exe().unwrap().hash(&mut hasher);
    let name = format!("cronmon_template_{:x}_{}", hasher.finish(), std::process::id());
    execute_in_cluster(&format!("create database {name}")).await;
    let pool = pool(&url_of(&name), 1);
    migrations::up(&mut pool.get().await.unwrap()).await.unwrap();
    pool.close();
    name
}

async fn execute_in_cluster(statement: &str) {
    let pool = pool(&cluster_url(), 1);
    let client = pool.get().await.unwrap();
    client.batch_execute("set statement_timeout = '60s'").await.unwrap();
    for attempt in 0.. {
        match client.batch_execute(statement).await {
            Ok(()) => return,
            // Connections to the template that are just closing.
            Err(e) if attempt < 50 && e.to_string().contains("db error") => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Err(e) => panic!("{statement}: {e:?}"),
        }
    }
}
