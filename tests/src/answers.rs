//! What the API answered, for whoever compares it with docs/openapi.yaml afterwards: `make test` does.

use std::collections::HashMap;
use std::fs::{File, create_dir_all};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

/// Of one kind, in one process. Tests that do one thing again and again would fill the disk.
const MOST: u32 = 300;

struct Log {
    file: File,
    kept: HashMap<String, u32>,
}

/// A file of this process, in the folder `CRONMON_ANSWERS`; without that nothing is kept.
static LOG: LazyLock<Option<Mutex<Log>>> = LazyLock::new(|| {
    let folder = PathBuf::from(std::env::var_os("CRONMON_ANSWERS")?);
    create_dir_all(&folder).unwrap();
    let file = File::create(folder.join(format!("{}.jsonl", Uuid::new_v4()))).unwrap();
    Some(Mutex::new(Log { file, kept: HashMap::new() }))
});

/// `content_type` is empty where there is none.
///
/// # Panics
/// When it can't be written down.
pub fn keep(method: &Method, path: &str, status: u16, content_type: &str, body: &str) {
    let Some(log) = &*LOG else { return };
    let mut log = log.lock().unwrap();
    let kind: Vec<&str> = path.split(['/', '?']).filter(|part| Uuid::try_parse(part).is_err()).collect();
    let kept = log.kept.entry(format!("{method} {} {status}", kind.join("/"))).or_default();
    *kept += 1;
    if *kept <= MOST {
        let line = json!([method.as_str(), path, status, content_type, body]);
        writeln!(log.file, "{line}").unwrap();
    }
}
