//! What an owner decides about an alert config, as a body says it.

use destinations::Destination;
use reqwest::Url;
use serde_json::Value;

use crate::answers::{ApiError, ApiResult};
use crate::requests::{Fields, Given, no_nul, wrong};

const KNOWN_FIELDS: [&str; 8] =
    ["name", "active", "on_late", "on_error", "on_recovered", "on_warning", "default", "type"];

/// The longest URL, in bytes.
const LONGEST_URL: usize = 2_048;

/// The longest channel, in characters, and the longest token, in bytes.
const LONGEST_CHANNEL: usize = 256;
const LONGEST_TOKEN: usize = 512;

pub(super) struct Decisions {
    pub(super) name: String,
    pub(super) destination: Destination,
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
        let mut warnings = Vec::new();
        let mut decisions = Self {
            active: switch("active")?,
            on_late: switch("on_late")?,
            on_error: switch("on_error")?,
            on_recovered: switch("on_recovered")?,
            on_warning: switch("on_warning")?,
            is_default: switch("default")?,
            name: fields.name()?,
            destination: destination(fields.required("type")?, &mut warnings)?,
            warnings,
        };
        fields.warn_of_rest(&KNOWN_FIELDS, &mut decisions.warnings);
        Ok(decisions)
    }
}

/// A destination as it stands in its columns.
pub(super) struct Columns<'a> {
    pub(super) kind: &'static str,
    pub(super) url: Option<&'a str>,
    pub(super) slack_channel: Option<&'a str>,
    pub(super) slack_token: Option<&'a str>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(destination: &'a Destination) -> Self {
        let kind = destination.kind();
        match destination {
            Destination::Webhook { url } => {
                Self { kind, url: Some(url), slack_channel: None, slack_token: None }
            }
            Destination::Slack { channel, token } => {
                Self { kind, url: None, slack_channel: Some(channel), slack_token: Some(token) }
            }
        }
    }
}

/// `{"webhook": {"url": "https://..."}}` or `{"slack": {"channel": "#ops", "token": "xoxb-..."}}`.
fn destination(value: Value, warnings: &mut Vec<String>) -> ApiResult<Destination> {
    let Value::Object(types) = value else { return Err(shape()) };
    let mut types = types.into_iter();
    let Some((kind, fields)) = types.next() else { return Err(shape()) };
    if types.next().is_some() {
        return Err(wrong("type", &"an alert config has one type"));
    }
    match kind.as_str() {
        "webhook" => webhook(fields),
        "slack" => slack(fields, warnings),
        unknown => {
            let unknown: String = unknown.chars().take(64).collect();
            let known = "there are 'webhook' and 'slack'";
            Err(wrong("type", &format!("the alert type '{unknown}' is unknown; {known}")))
        }
    }
}

fn shape() -> ApiError {
    wrong(
        "type",
        &r##"it must be {"webhook": {"url": "https://..."}} or {"slack": {"channel": "#ops", "token": "xoxb-..."}}"##,
    )
}

/// Whether the address is one that may be reached is seen when something is sent: names can change their address.
fn webhook(fields: Value) -> ApiResult<Destination> {
    let Value::Object(mut webhook) = fields else { return Err(shape()) };
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
    Ok(Destination::Webhook { url })
}

/// The original ignores what it does not know in here, so this does too, and says so.
fn slack(fields: Value, warnings: &mut Vec<String>) -> ApiResult<Destination> {
    let Value::Object(mut slack) = fields else { return Err(shape()) };
    let mut text = |name: &str| match slack.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(wrong("type", &format!("the {name} of slack must be text"))),
        None => Err(wrong("type", &format!("the {name} of slack is missing"))),
    };
    let (channel, token) = (text("channel")?, text("token")?);
    if channel.is_empty() || channel.chars().count() > LONGEST_CHANNEL {
        return Err(wrong("type", &format!("the channel must have 1 to {LONGEST_CHANNEL} characters")));
    }
    no_nul("type", &channel)?;
    // It goes into a header.
    if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = "printable ASCII characters without spaces";
        return Err(wrong("type", &format!("the token must be 1 to {LONGEST_TOKEN} {what}")));
    }
    for unknown in slack.keys() {
        let unknown: String = unknown.chars().take(64).collect();
        warnings.push(format!("unknown field '{unknown}' of slack was ignored"));
    }
    Ok(Destination::Slack { channel, token })
}
