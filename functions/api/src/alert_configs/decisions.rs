//! What an owner decides about an alert config, as a body says it.

use reqwest::Url;
use serde_json::Value;

use crate::answers::ApiResult;
use crate::requests::{Fields, Given, no_nul, wrong};

const KNOWN_FIELDS: [&str; 8] =
    ["name", "active", "on_late", "on_error", "on_recovered", "on_warning", "default", "type"];

/// The longest URL, in bytes.
const LONGEST_URL: usize = 2_048;

pub(super) struct Decisions {
    pub(super) name: String,
    pub(super) url: String,
    // `None`: the body says nothing, so a new one has its default and an old one keeps its value.
    pub(super) active: Option<bool>,
    pub(super) on_late: Option<bool>,
    pub(super) on_error: Option<bool>,
    pub(super) on_recovered: Option<bool>,
    pub(super) on_warning: Option<bool>,
    pub(super) is_default: Option<bool>,
    /// Of fields that nobody knows.
    pub(super) warnings: Vec<String>,
}

impl Decisions {
    pub(super) fn read(mut fields: Fields) -> ApiResult<Self> {
        let mut switch = |name: &str| match fields.optional::<bool>(name)? {
            Given::Null => Err(wrong(name, &"it must be true or false")),
            given => Ok(given.value()),
        };
        let mut decisions = Self {
            active: switch("active")?,
            on_late: switch("on_late")?,
            on_error: switch("on_error")?,
            on_recovered: switch("on_recovered")?,
            on_warning: switch("on_warning")?,
            is_default: switch("default")?,
            name: fields.name()?,
            url: webhook_url(fields.required("type")?)?,
            warnings: Vec::new(),
        };
        fields.warn_of_rest(&KNOWN_FIELDS, &mut decisions.warnings);
        Ok(decisions)
    }
}

/// `{"webhook": {"url": "https://..."}}`. Whether the address is one that may be reached is seen when
/// something is sent: names can change their address.
fn webhook_url(value: Value) -> ApiResult<String> {
    let shape = || wrong("type", &r#"it must be {"webhook": {"url": "https://..."}}"#);
    let Value::Object(mut types) = value else { return Err(shape()) };
    let Some(webhook) = types.remove("webhook") else {
        return Err(match types.keys().next() {
            Some(unknown) => {
                let unknown: String = unknown.chars().take(64).collect();
                wrong("type", &format!("the alert type '{unknown}' is unknown; there is 'webhook'"))
            }
            None => shape(),
        });
    };
    if !types.is_empty() {
        return Err(wrong("type", &"an alert config has one type"));
    }
    let Value::Object(mut webhook) = webhook else { return Err(shape()) };
    let Some(Value::String(url)) = webhook.remove("url") else { return Err(shape()) };
    if let Some(unknown) = webhook.keys().next() {
        let unknown: String = unknown.chars().take(64).collect();
        return Err(wrong("type", &format!("the field '{unknown}' of webhook is unknown")));
    }
    if url.len() > LONGEST_URL {
        return Err(wrong("type", &format!("the url is longer than {LONGEST_URL} bytes")));
    }
    no_nul("type", &url)?;
    let parsed = Url::parse(&url).map_err(|e| wrong("type", &format!("the url can't be used: {e}")))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none_or(str::is_empty) {
        return Err(wrong("type", &"the url must begin with https:// or http://"));
    }
    Ok(url)
}
