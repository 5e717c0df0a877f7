//! Texts which, found in a ping's body, say more about it than its URL.

use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;

use crate::answers::ApiResult;
use crate::requests::{no_nul, wrong};

/// Of each kind.
const MOST: usize = 20;

/// The longest keyword, in characters.
const LONGEST: usize = 200;

/// `None`: no keywords of that kind.
#[derive(Default, Serialize)]
pub(super) struct Keywords {
    pub(super) fail: Option<Vec<String>>,
    pub(super) success: Option<Vec<String>>,
    pub(super) start: Option<Vec<String>>,
}

impl Keywords {
    /// `{"fail": ["..."], "success": ["..."], "start": ["..."]}`, each of which may be absent.
    pub(super) fn parse(value: Value) -> ApiResult<Self> {
        let shape = || {
            let shape = r#"it must be null or {"fail": ["..."], "success": ["..."], "start": ["..."]}"#;
            wrong("keywords", &shape)
        };
        let Value::Object(mut object) = value else { return Err(shape()) };
        let mut list = |kind: &str| match object.remove(kind) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) if items.len() > MOST => {
                Err(wrong("keywords", &format!("there are more than {MOST} of '{kind}'")))
            }
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| match item {
                    Value::String(text) => checked(text),
                    _ => Err(shape()),
                })
                .collect::<ApiResult<Vec<String>>>()
                .map(|texts| Some(texts).filter(|texts| !texts.is_empty())),
            Some(_) => Err(shape()),
        };
        let keywords = Self { fail: list("fail")?, success: list("success")?, start: list("start")? };
        if let Some(unknown) = object.keys().next() {
            // Whoever mistypes one must not wait in vain for its failures.
            let unknown: String = unknown.chars().take(64).collect();
            return Err(wrong("keywords", &format!("the field '{unknown}' is unknown")));
        }
        Ok(keywords)
    }

    /// Reads `fail_keywords`, `success_keywords` and `start_keywords`; `None` when there are none.
    pub(super) fn of(row: &Row) -> ApiResult<Option<Self>> {
        let keywords = Self {
            fail: row.try_get("fail_keywords")?,
            success: row.try_get("success_keywords")?,
            start: row.try_get("start_keywords")?,
        };
        let has_any = keywords.fail.is_some() || keywords.success.is_some() || keywords.start.is_some();
        Ok(has_any.then_some(keywords))
    }
}

fn checked(text: String) -> ApiResult<String> {
    if text.is_empty() || text.chars().count() > LONGEST {
        return Err(wrong("keywords", &format!("each has 1 to {LONGEST} characters")));
    }
    no_nul("keywords", &text)?;
    Ok(text)
}
