//! Sends crontabs.

use cronmon_tests::{CronMon, answers};
use reqwest::Method;
use serde_json::Value;

/// Longer answers are not kept to be compared with docs/openapi.yaml.
const LONGEST_KEPT: usize = 100_000;

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub text: String,
}

impl Reply {
    /// What is wrong, in words; the shape of the error is checked.
    pub fn refusal(&self) -> String {
        let error: Value = serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"));
        assert_eq!(error["error"]["code"], self.status, "{self:?}");
        error["error"]["description"].as_str().unwrap().to_owned()
    }
}

pub async fn send(
    cronmon: &CronMon,
    headers: &[(&str, &str)],
    query: &str,
    crontab: impl AsRef<[u8]>,
) -> Reply {
    let path = format!("/api/v1/import/crontab{query}");
    let mut request = cronmon.http.post(format!("{}{path}", cronmon.url)).body(crontab.as_ref().to_vec());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let content_type = content_type.unwrap_or_default();
    let text = String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap();
    if text.len() <= LONGEST_KEPT {
        answers::keep(&Method::POST, &path, status, &content_type, &text);
    }
    Reply { status, content_type, text }
}

pub async fn send_as(
    cronmon: &CronMon,
    tenant: &str,
    accept: &str,
    query: &str,
    crontab: impl AsRef<[u8]>,
) -> Reply {
    let bearer = format!("Bearer {}", cronmon.issuer.token(tenant));
    send(cronmon, &[("authorization", &bearer), ("accept", accept)], query, crontab).await
}

/// The rewritten crontab, for the tenant `acme`.
pub async fn import(cronmon: &CronMon, query: &str, crontab: impl AsRef<[u8]>) -> String {
    let reply = send_as(cronmon, "acme", "*/*", query, crontab).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.content_type, "text/plain; charset=utf-8");
    reply.text
}

/// The same with what became of its lines.
pub async fn import_in_detail(cronmon: &CronMon, query: &str, crontab: impl AsRef<[u8]>) -> Value {
    let reply = send_as(cronmon, "acme", "application/json", query, crontab).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.content_type, "application/json");
    let answer: Value = serde_json::from_str(&reply.text).unwrap();
    answer["data"].clone()
}

/// All monitors of `acme`, by slug.
pub async fn monitors(cronmon: &CronMon) -> Vec<Value> {
    let answer = cronmon.call(Method::GET, "/monitors?limit=1000", None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut monitors = answer.body["data"].as_array().unwrap().clone();
    monitors.sort_by_key(|monitor| monitor["slug"].as_str().unwrap().to_owned());
    monitors
}

pub fn slugs(list: &[Value]) -> Vec<&str> {
    list.iter().map(|one| one["slug"].as_str().unwrap()).collect()
}

/// `result` of each line.
pub fn results(data: &Value) -> Vec<&str> {
    data["lines"].as_array().unwrap().iter().map(|line| line["result"].as_str().unwrap()).collect()
}

/// A crontab without the comments that stand there once.
pub fn without_comments_of_ours(crontab: &str) -> String {
    crontab.split_inclusive('\n').filter(|line| !line.starts_with("# cronmon: ")).collect()
}
