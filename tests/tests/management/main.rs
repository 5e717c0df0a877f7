//! Management as its callers see it: values, not only statuses.

mod change;
mod create;
mod crontab_line;
mod explain;
mod history;
mod http;
mod jobs;
mod keys;
mod keywords;
mod list_pages;
mod lists;
mod monitor_slugs;
mod ping_keys;
mod ping_url;
mod preview;
mod quiet;
mod quiet_windows;
mod retention;
mod simulate;
mod status;
mod warnings;
mod windows;

use chrono::{DateTime, Utc};
use serde_json::Value;

const NOBODY: &str = "nobody hears of it: attach an active alert config, or make one the default";
const NEVER_PINGED: &str = "never pinged: nothing is expected before the first ping";

fn path(monitor: &Value) -> String {
    format!("/monitors/{}", monitor["monitor_id"].as_str().unwrap())
}

fn at(instant: &str) -> DateTime<Utc> {
    instant.parse().unwrap()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}
