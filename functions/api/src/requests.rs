//! What a request is made of: who calls, the ids in its path, the parameters of its query, the fields of its
//! body.
//!
//! Handlers take these in this order, which is the order of the checks: 401 or 403, then 422 for the path, then
//! 422 for the query, then 400, 413 or 422 for the body.

mod query;

use std::convert::Infallible;
use std::fmt;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, SubsecRound as _, Utc};
use http_common::body::{self, BodyError};
use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiError, ApiResult};
use crate::auth::Tenant;
use crate::keys::opens::opens;
pub(crate) use query::Query;

/// JSON bodies may have this many bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// And texts, which only this path reads. A Lambda function can be sent 6 MB.
const TEXT_LIMIT: usize = 4 * 1024 * 1024;
pub(crate) const TAKES_TEXT: &str = "/api/v1/import/crontab";

/// The longest name, in characters.
const LONGEST_NAME: usize = 4_096;

/// The tenant on whose behalf the request is made: of its bearer token, or where it has none of its API key.
pub(crate) struct Caller(pub(crate) Tenant);

/// Who makes it, for people: the `name` of the token or of the API key, or else the tenant. Comes after [`Caller`],
/// which finds out.
#[derive(Clone)]
pub(crate) struct CallerName(pub(crate) String);

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let now = (app.clock)();
        let (tenant, name, may_manage) =
            match (parts.headers.get(AUTHORIZATION), parts.headers.get("x-api-key")) {
                (None, Some(key)) => {
                    let key = key.to_str().unwrap_or_default();
                    let opened = opens(&app.pool, key, &parts.method, now).await?;
                    (opened.tenant, opened.name, opened.may_manage)
                }
                (authorization, _) => {
                    let authorization = authorization.and_then(|value| value.to_str().ok());
                    match app.verifier.verify(authorization, now).await {
                        Ok(bearer) => (bearer.tenant, bearer.name, true),
                        Err(refused) => return Err(ApiError::unauthorized(&refused)),
                    }
                }
            };
        let name = if name.trim().is_empty() { tenant.0.clone() } else { name };
        parts.extensions.insert(CallerName(name));
        parts.extensions.insert(SeesSecrets(may_manage));
        Ok(Self(tenant))
    }
}

/// Whether it may be shown what opens more than reading: ping URLs, and where webhooks lead. Comes after [`Caller`].
#[derive(Clone, Copy)]
pub(crate) struct SeesSecrets(pub(crate) bool);

impl FromRequestParts<App> for SeesSecrets {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self(false)))
    }
}

impl FromRequestParts<App> for CallerName {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or(Self(String::new())))
    }
}

/// The ids in the path, in their order. Upper case, no dashes and braces are accepted.
pub(crate) struct Ids<const N: usize>(pub(crate) [Uuid; N]);

impl<const N: usize> FromRequestParts<App> for Ids<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let unusable = || ApiError::unprocessable("The path holds an id that is not a UUID.");
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(|_| unusable())?;
        let ids: Option<Vec<Uuid>> = params.iter().map(|(_, text)| Uuid::try_parse(text).ok()).collect();
        ids.and_then(|ids| ids.try_into().ok()).map(Self).ok_or_else(unusable)
    }
}

/// An RFC 3339 instant, to the microsecond as everything is kept; or what is wrong with it, for its author.
pub(crate) fn read_instant(text: &str) -> Result<DateTime<Utc>, &'static str> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(instant) => Ok(instant.to_utc().trunc_subsecs(6)),
        Err(_) => Err("it must be an instant like 2026-11-22T12:00:00Z"),
    }
}

/// The years for which slots are looked for.
const FIRST_INSTANT: i64 = 0;
const LAST_INSTANT: i64 = 4_102_444_800;

/// An instant for which slots are looked for.
pub(crate) fn in_our_time(name: &str, instant: DateTime<Utc>) -> ApiResult<DateTime<Utc>> {
    match instant.timestamp() {
        FIRST_INSTANT..LAST_INSTANT => Ok(instant),
        _ => Err(wrong(name, &"it must lie between 1970 and 2100")),
    }
}

/// The fields of a JSON object, taken out one by one, so that each error can name its field and what is
/// left at the end is unknown.
#[derive(Debug, Clone)]
pub(crate) struct Fields(Map<String, Value>);

/// The body of a request, read before anything else looked at it.
#[derive(Clone)]
struct ReadBody(Result<Bytes, BodyError>);

/// Reads the body of every request first; what is wrong with it is said in its turn.
pub(crate) async fn read_body(request: Request, next: Next) -> Response {
    let (mut parts, request_body) = request.into_parts();
    let path = parts.uri.path();
    let takes_text = path.strip_suffix('/').unwrap_or(path) == TAKES_TEXT;
    let limit = if takes_text { TEXT_LIMIT } else { BODY_LIMIT };
    parts.extensions.insert(ReadBody(body::read(request_body, limit).await));
    next.run(Request::from_parts(parts, Body::empty())).await
}

impl ReadBody {
    fn of(request: &Request, limit: usize) -> ApiResult<&Bytes> {
        match request.extensions().get() {
            Some(Self(Ok(bytes))) => Ok(bytes),
            Some(Self(Err(BodyError::TooLarge))) => Err(ApiError::too_large(limit)),
            Some(Self(Err(BodyError::Incomplete))) | None => Err(ApiError::incomplete()),
        }
    }
}

impl FromRequest<App> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> ApiResult<Self> {
        ReadBody::of(&request, BODY_LIMIT).and_then(|bytes| Self::parse(bytes))
    }
}

/// A body that is no JSON, whatever its type is said to be. Only at [`TAKES_TEXT`].
pub(crate) struct Text(pub(crate) String);

impl FromRequest<App> for Text {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> ApiResult<Self> {
        let bytes = ReadBody::of(&request, TEXT_LIMIT)?;
        let text = std::str::from_utf8(bytes).map_err(|e| {
            let place = e.valid_up_to();
            ApiError::unprocessable(format!("The body can't be used: it is no UTF-8 at byte {place}."))
        })?;
        match text.find('\0') {
            None => Ok(Self(text.to_owned())),
            Some(place) => {
                let why = format!("The body can't be used: there is a NUL character at byte {place}.");
                Err(ApiError::unprocessable(why))
            }
        }
    }
}

/// The fields of a body that need not be there.
pub(crate) struct FieldsIfAny(pub(crate) Fields);

impl FromRequest<App> for FieldsIfAny {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> ApiResult<Self> {
        match request.extensions().get() {
            Some(ReadBody(Ok(bytes))) if bytes.is_empty() => Ok(Self(Fields(Map::new()))),
            _ => Fields::from_request(request, app).await.map(Self),
        }
    }
}

impl Fields {
    fn parse(bytes: &[u8]) -> ApiResult<Self> {
        serde_json::from_slice(bytes).map_err(|e| {
            if e.is_data() {
                ApiError::unprocessable(format!("The body can't be used: {e}"))
            } else {
                ApiError::malformed(format!("The body is not JSON: {e}"))
            }
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Gives a field that is absent.
    pub(crate) fn or(&mut self, name: &str, value: Value) {
        self.0.entry(name).or_insert(value);
    }

    /// A field that must be there; null only where `T` takes it.
    pub(crate) fn required<T: DeserializeOwned>(&mut self, name: &str) -> ApiResult<T> {
        let value = self.0.remove(name).ok_or_else(|| missing(name))?;
        serde_json::from_value(value).map_err(|e| wrong(name, &e))
    }

    /// A field that may be absent; a null is the same as `null`.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self, name: &str) -> ApiResult<Given<T>> {
        match self.0.remove(name) {
            None => Ok(Given::Absent),
            Some(Value::Null) => Ok(Given::Null),
            Some(value) => serde_json::from_value(value).map(Given::Value).map_err(|e| wrong(name, &e)),
        }
    }

    /// An RFC 3339 instant that may be absent.
    pub(crate) fn instant(&mut self, name: &str) -> ApiResult<Given<DateTime<Utc>>> {
        self.optional::<String>(name)?.try_map(|text| read_instant(&text).map_err(|why| wrong(name, &why)))
    }

    pub(crate) fn name(&mut self) -> ApiResult<String> {
        self.required("name").and_then(checked_name)
    }

    /// Empty when it is absent or null.
    pub(crate) fn optional_name(&mut self) -> ApiResult<String> {
        Ok(self.optional("name")?.try_map(checked_name)?.value().unwrap_or_default())
    }

    /// Warns of every field that nobody took.
    pub(crate) fn warn_of_rest(self, known: &[&str], warnings: &mut Vec<String>) {
        for (name, _) in self.0 {
            let shown: String = name.chars().take(64).collect();
            let meant = known.iter().find(|known| is_close(known, &name));
            warnings.push(match meant {
                Some(known) if *known == name => format!("field '{shown}' was ignored: it is of no use here"),
                Some(meant) => format!("unknown field '{shown}' was ignored: did you mean '{meant}'?"),
                None => format!("unknown field '{shown}' was ignored"),
            });
        }
    }
}

/// What a body says of a field that it need not have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Given<T> {
    Absent,
    Null,
    Value(T),
}

impl<T> Given<T> {
    /// Absent keeps, null clears.
    pub(crate) fn or_keep(self, kept: Option<T>) -> Option<T> {
        match self {
            Self::Absent => kept,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    pub(crate) fn value(self) -> Option<T> {
        self.or_keep(None)
    }

    /// `None` when it is absent; null is the default.
    pub(crate) fn or_default(self) -> Option<T>
    where
        T: Default,
    {
        match self {
            Self::Absent => None,
            Self::Null => Some(T::default()),
            Self::Value(value) => Some(value),
        }
    }

    pub(crate) fn try_map<U>(self, map: impl FnOnce(T) -> ApiResult<U>) -> ApiResult<Given<U>> {
        Ok(match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => Given::Value(map(value)?),
        })
    }
}

pub(crate) fn checked_name(name: String) -> ApiResult<String> {
    if name.chars().count() > LONGEST_NAME {
        return Err(wrong("name", &format!("it is longer than {LONGEST_NAME} characters")));
    }
    no_nul("name", &name)?;
    Ok(name)
}

fn missing(name: &str) -> ApiError {
    ApiError::unprocessable(format!("{name}: the field is missing"))
}

pub(crate) fn wrong(name: &str, why: &impl fmt::Display) -> ApiError {
    ApiError::unprocessable(format!("{name}: {why}"))
}

/// Postgres has no place for it in text.
pub(crate) fn no_nul(name: &str, text: &str) -> ApiResult<()> {
    if text.contains('\0') { Err(wrong(name, &"it contains a NUL character")) } else { Ok(()) }
}

/// Whether one slip of the fingers lies between two names: a letter too few, too many, another or swapped.
fn is_close(known: &str, given: &str) -> bool {
    let (a, b) = (known.as_bytes(), given.as_bytes());
    if a.len().abs_diff(b.len()) > 1 {
        return false;
    }
    let same_head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let same_tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let differing = a.len().max(b.len()).saturating_sub(same_head + same_tail);
    let swapped = a.len() == b.len()
        && differing == 2
        && a.get(same_head) == b.get(same_head + 1)
        && a.get(same_head + 1) == b.get(same_head);
    differing <= 1 || swapped
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_map(AnyJson)? {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(D::Error::custom("it is not an object")),
        }
    }
}

/// Any JSON in whose objects no field is given twice.
struct UniqueFields(Value);

impl<'de> Deserialize<'de> for UniqueFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson).map(Self)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((name, UniqueFields(value))) = map.next_entry::<String, UniqueFields>()? {
            if fields.contains_key(&name) {
                let name: String = name.chars().take(64).collect();
                return Err(A::Error::custom(format!("the field '{name}' is given twice")));
            }
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(UniqueFields(item)) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_recognised() {
        for given in ["shedule", "schedul", "schedulee", "schedulr", "scheduel", "Schedule"] {
            assert!(is_close("schedule", given), "{given}");
        }
        for given in ["name", "grace_duration", "sched", ""] {
            assert!(!is_close("schedule", given), "{given}");
        }
    }

    #[test]
    fn a_field_that_is_known_elsewhere_is_not_taken_for_a_slip() {
        let fields = Fields::parse(br#"{"tags":[],"tag":1}"#).unwrap();
        let mut warnings = Vec::new();
        fields.warn_of_rest(&["tags"], &mut warnings);
        warnings.sort();
        let all = [
            "field 'tags' was ignored: it is of no use here",
            "unknown field 'tag' was ignored: did you mean 'tags'?",
        ];
        assert_eq!(warnings, all);
    }

    #[test]
    fn an_instant_is_read_to_the_microsecond_wherever_it_stands() {
        let text = "2026-11-22T14:00:00.1234567+02:00";
        let instant = read_instant(text).unwrap();
        assert_eq!(instant.to_rfc3339(), "2026-11-22T12:00:00.123456+00:00");
        let query = Query(vec![("at".to_owned(), text.to_owned()), ("since".to_owned(), "x".to_owned())]);
        assert_eq!(query.instant("at").unwrap(), Some(instant));
        let mut fields = Fields::parse(br#"{"at":"2026-11-22T14:00:00.1234567+02:00","until":"x"}"#).unwrap();
        assert_eq!(fields.instant("at").unwrap(), Given::Value(instant));
        assert_eq!(fields.instant("at").unwrap(), Given::Absent);
        let in_a_body = format!("{:?}", fields.instant("until").unwrap_err());
        assert!(
            in_a_body.contains("\"until: it must be an instant like 2026-11-22T12:00:00Z\""),
            "{in_a_body}"
        );
        let in_a_query = format!("{:?}", query.instant("since").unwrap_err());
        let why = "\"since: it must be an instant like 2026-11-22T12:00:00Z; in a URL a + is written %2B\"";
        assert!(in_a_query.contains(why), "{in_a_query}");
    }

    #[test]
    fn a_body_that_is_no_json_object_is_told_apart_from_one_that_is_no_json() {
        for (body, code) in [
            ("", 400),
            ("{", 400),
            ("nul", 400),
            ("{'a':1}", 400),
            ("\u{1}", 400),
            (r#"{"a":"\ud800"}"#, 400),
            ("[]", 422),
            ("1", 422),
            ("null", 422),
            (r#"["n",1,2]"#, 422),
            (r#"{"a":1,"a":2}"#, 422),
        ] {
            let error = format!("{:?}", Fields::parse(body.as_bytes()).unwrap_err());
            assert!(error.contains(&format!("status: {code}")), "{body}: {error}");
        }
        assert!(Fields::parse(&[b'[', 0xff, b']']).is_err());
        assert!(Fields::parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
