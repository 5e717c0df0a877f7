//! The parameters of a query.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Fields, is_close, read_instant, wrong};
use crate::App;
use crate::answers::ApiResult;

/// The parameters of the query. Those that nobody asks for are ignored, unless [`Query::only`] is asked.
pub(crate) struct Query(pub(super) Vec<(String, String)>);

impl FromRequestParts<App> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Query {
    /// Every value of a parameter that may be given several times.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be absent.
    pub(crate) fn one(&self, name: &str) -> ApiResult<Option<&str>> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(wrong(name, &"it is given twice")),
            (value, None) => Ok(value),
        }
    }

    /// For what changes so much that a misspelt parameter must not be taken for an absent one.
    pub(crate) fn only(&self, known: &[&str]) -> ApiResult<()> {
        let Some((name, _)) = self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) else {
            return Ok(());
        };
        let shown: String = name.chars().take(64).collect();
        let why = match known.iter().find(|known| is_close(known, name)) {
            Some(meant) => format!("there is no such parameter: did you mean '{meant}'?"),
            None => format!("there is no such parameter; there are {}", known.join(", ")),
        };
        Err(wrong(&shown, &why))
    }

    /// 1 or 0.
    pub(crate) fn flag(&self, name: &str) -> ApiResult<Option<bool>> {
        match self.one(name)? {
            None => Ok(None),
            Some("0") => Ok(Some(false)),
            Some("1") => Ok(Some(true)),
            Some(_) => Err(wrong(name, &"it must be 1 or 0")),
        }
    }

    pub(crate) fn instant(&self, name: &str) -> ApiResult<Option<DateTime<Utc>>> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let instant =
            read_instant(text).map_err(|why| wrong(name, &format!("{why}; in a URL a + is written %2B")))?;
        Ok(Some(instant))
    }

    /// How many of a list: 1 to `most`, which is also the number when it says nothing.
    pub(crate) fn limit(&self, most: usize) -> ApiResult<usize> {
        match self.one("limit")?.map(str::parse) {
            None => Ok(most),
            Some(Ok(limit)) if (1..=most).contains(&limit) => Ok(limit),
            Some(_) => Err(wrong("limit", &format!("it must be from 1 to {most}"))),
        }
    }

    /// Where to go on, as `parse` reads it.
    pub(crate) fn cursor<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> ApiResult<Option<T>> {
        let after = self
            .one("cursor")?
            .map(|text| parse(text).ok_or_else(|| wrong("cursor", &"it is not the next_cursor of a page")));
        after.transpose()
    }

    /// What it says beside `taken`, as the fields of a body: numbers, null and words.
    pub(crate) fn rest_as_fields(&self, taken: &[&str]) -> ApiResult<Fields> {
        let mut fields = Map::new();
        for (name, value) in self.0.iter().filter(|(name, _)| !taken.contains(&name.as_str())) {
            let value = match value.parse::<i64>() {
                Ok(number) => number.into(),
                Err(_) if value == "null" => Value::Null,
                Err(_) => Value::from(value.as_str()),
            };
            if fields.insert(name.clone(), value).is_some() {
                return Err(wrong(&name.chars().take(64).collect::<String>(), &"it is given twice"));
            }
        }
        Ok(Fields(fields))
    }
}
