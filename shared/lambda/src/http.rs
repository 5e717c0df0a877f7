//! HTTP API events (payload 2.0) and those of Function URLs, which are the same: each becomes a request to
//! a router, and the router's answer theirs.
//!
//! Read by ourselves, because what a client sends must not decide whether the function goes on: see
//! `docs/adr/0014-http-events.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::BodyExt as _;
use http_common::source::TrustedProxies;
use http_common::{Clock, NewDeliveries, ReceivedAt, SourceAddress};
use lambda_runtime::{Error, LambdaEvent};
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;

use crate::queues::DeliveryQueue;
use crate::run;

/// How far the gateway's time may lie before ours: no request lives longer.
const OLDEST: TimeDelta = TimeDelta::seconds(60);

/// How far the gateway's clock may be ahead of ours.
const AHEAD: TimeDelta = TimeDelta::seconds(5);

/// The event, as far as we read it. Everything may be missing: a client can't be told of a fault in it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    #[serde(deserialize_with = "or_default")]
    raw_path: String,
    #[serde(deserialize_with = "or_default")]
    raw_query_string: String,
    #[serde(deserialize_with = "or_default")]
    headers: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    cookies: Vec<String>,
    body: Option<String>,
    #[serde(deserialize_with = "or_default")]
    is_base64_encoded: bool,
    #[serde(deserialize_with = "or_default")]
    request_context: Context,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Context {
    #[serde(deserialize_with = "or_default")]
    http: Http,
    /// When the gateway received the request; milliseconds since 1970.
    #[serde(deserialize_with = "or_default")]
    time_epoch: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Http {
    #[serde(deserialize_with = "or_default")]
    method: String,
    #[serde(deserialize_with = "or_default")]
    source_ip: String,
}

/// Local stand-ins for the gateway say null where the gateway says nothing.
fn or_default<'de, T: Deserialize<'de> + Default, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// The answer that the gateway expects.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    status_code: u16,
    headers: BTreeMap<String, String>,
    body: String,
    is_base64_encoded: bool,
    /// None are set; `cargo lambda watch` wants the field.
    cookies: [(); 0],
}

/// Serves a router until the environment ends. New deliveries are handed over before the answer: after it
/// the environment may be frozen.
///
/// # Errors
/// The runtime interface can't be reached.
pub async fn serve(
    router: Router,
    clock: Clock,
    proxies: TrustedProxies,
    deliveries: DeliveryQueue,
) -> Result<(), Error> {
    let proxies = Arc::new(proxies);
    run(move |event: LambdaEvent<Event>| {
        let (router, deliveries, now) = (router.clone(), deliveries.clone(), clock());
        let proxies = proxies.clone();
        async move {
            let request = match request_of(event.payload, now, &proxies) {
                Ok(request) => request,
                Err(answer) => return Ok(answer),
            };
            let is_head = request.method() == Method::HEAD;
            let Ok(mut response) = router.oneshot(request).await;
            if let Some(NewDeliveries(ids)) = response.extensions_mut().remove() {
                deliveries.hand_over(ids).await;
            }
            answer_of(response, is_head).await
        }
    })
    .await
}

fn request_of(event: Event, now: DateTime<Utc>, proxies: &TrustedProxies) -> Result<Request<Body>, Answer> {
    let Ok(method) = Method::from_bytes(event.request_context.http.method.as_bytes()) else {
        return Err(refused(StatusCode::BAD_REQUEST, "the method is not one"));
    };
    let Some(uri) = path_and_query(&event.raw_path, &event.raw_query_string) else {
        return Err(refused(StatusCode::URI_TOO_LONG, "the path and query can't be used"));
    };
    let body = match (event.body, event.is_base64_encoded) {
        (None, _) => Body::empty(),
        (Some(text), false) => Body::from(text),
        (Some(text), true) => match STANDARD.decode(text) {
            Ok(bytes) => Body::from(bytes),
            Err(_) => return Err(refused(StatusCode::BAD_REQUEST, "the body is not base64")),
        },
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri.into();
    let headers = request.headers_mut();
    for (name, value) in &event.headers {
        add_header(headers, name, value);
    }
    for cookie in &event.cookies {
        add_header(headers, "cookie", cookie);
    }
    if let Ok(peer) = event.request_context.http.source_ip.parse() {
        let source = proxies.source(peer, request.headers());
        request.extensions_mut().insert(SourceAddress(source));
    }
    // Local stand-ins for the gateway give seconds, or nothing.
    let received_at = DateTime::from_timestamp_millis(event.request_context.time_epoch)
        .filter(|received_at| (now - OLDEST..=now + AHEAD).contains(received_at));
    if let Some(received_at) = received_at {
        request.extensions_mut().insert(ReceivedAt(received_at));
    }
    Ok(request)
}

/// A header that HTTP does not know is left out: the gateway has none.
fn add_header(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes())) {
        headers.append(name, value);
    }
}

/// The gateway decodes some of the path; what may not stand in one is encoded again.
fn path_and_query(path: &str, query: &str) -> Option<PathAndQuery> {
    let mut text = String::with_capacity(path.len() + query.len() + 2);
    if !path.starts_with('/') {
        text.push('/');
    }
    encode(&mut text, path, b"?#");
    if !query.is_empty() {
        text.push('?');
        encode(&mut text, query, b"#");
    }
    text.parse().ok()
}

fn encode(text: &mut String, part: &str, but: &[u8]) {
    for byte in part.bytes() {
        if byte.is_ascii_graphic() && !but.contains(&byte) && !b"\"<>\\^`{|}".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn refused(status: StatusCode, why: &str) -> Answer {
    Answer {
        status_code: status.as_u16(),
        headers: BTreeMap::from([("content-type".to_owned(), "text/plain".to_owned())]),
        body: why.to_owned(),
        is_base64_encoded: false,
        cookies: [],
    }
}

async fn answer_of(response: Response<Body>, is_head: bool) -> Result<Answer, Error> {
    let (parts, body) = response.into_parts();
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    let bytes = body.collect().await?.to_bytes();
    let (body, is_base64_encoded) = if is_head {
        (String::new(), false)
    } else {
        match String::from_utf8(bytes.into()) {
            Ok(text) => (text, false),
            Err(not_text) => (STANDARD.encode(not_text.as_bytes()), true),
        }
    };
    Ok(Answer { status_code: parts.status.as_u16(), headers, body, is_base64_encoded, cookies: [] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn request(event: serde_json::Value) -> Result<Request<Body>, Answer> {
        request_of(serde_json::from_value(event).unwrap(), now(), &TrustedProxies::default())
    }

    fn event(path: &str, query: &str) -> serde_json::Value {
        serde_json::json!({
            "rawPath": path, "rawQueryString": query,
            "requestContext": { "http": { "method": "GET", "sourceIp": "203.0.113.7" } },
        })
    }

    #[test]
    fn any_path_and_query_reach_the_router() {
        for (path, query, uri) in [
            ("/ping/a", "", "/ping/a"),
            ("/ping/a b", "rid=1&x=%20", "/ping/a%20b?rid=1&x=%20"),
            ("/ping/ü?x#y", "a#b", "/ping/%C3%BC%3Fx%23y?a%23b"),
            ("/../..//x", "", "/../..//x"),
            ("", "", "/"),
            ("x", "\"<>\u{0}", "/x?%22%3C%3E%00"),
        ] {
            assert_eq!(request(event(path, query)).unwrap().uri().to_string(), uri);
        }
    }

    #[test]
    fn the_source_address_is_the_gateways() {
        let mut event = event("/", "");
        event["headers"] =
            serde_json::json!({ "x-forwarded-for": "192.0.2.1", "bad name": "x", "bad": "a\nb" });
        let request = request(event).unwrap();
        assert_eq!(request.extensions().get::<SourceAddress>().unwrap().0.to_string(), "203.0.113.7");
        assert_eq!(request.headers().len(), 1);
    }

    #[test]
    fn the_gateways_time_counts_when_it_can_be_true() {
        let received = |time_epoch: i64| {
            let mut event = event("/", "");
            event["requestContext"]["timeEpoch"] = time_epoch.into();
            request(event)
                .unwrap()
                .extensions()
                .get::<ReceivedAt>()
                .map(|at| (now() - at.0).num_milliseconds())
        };
        let ms = now().timestamp_millis();
        assert_eq!(received(ms - 1_250), Some(1_250));
        assert_eq!(received(ms + 4_000), Some(-4_000));
        for wrong in [0, ms / 1000, ms - 61_000, ms + 6_000, i64::MAX, i64::MIN] {
            assert_eq!(received(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn bodies_are_decoded() {
        let body = |body: serde_json::Value, base64: bool| {
            let mut event = event("/", "");
            event["body"] = body;
            event["isBase64Encoded"] = base64.into();
            request(event)
        };
        let read = async |request: Request<Body>| request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(read(body("hello".into(), false).unwrap()).await, "hello");
        assert_eq!(read(body("AP/+".into(), true).unwrap()).await, [0u8, 255, 254][..]);
        assert_eq!(read(body(serde_json::Value::Null, true).unwrap()).await, "");
        assert_eq!(body("not base64!".into(), true).unwrap_err().status_code, 400);
    }

    #[tokio::test]
    async fn answers_that_are_not_text_are_base64() {
        let answer = |body: &'static [u8], is_head| async move {
            answer_of(Response::new(Body::from(body)), is_head).await.unwrap()
        };
        let text = answer("ü".as_bytes(), false).await;
        assert_eq!((text.body.as_str(), text.is_base64_encoded), ("ü", false));
        let bytes = answer(&[255, 0], false).await;
        assert_eq!((bytes.body.as_str(), bytes.is_base64_encoded), ("/wA=", true));
        assert_eq!(answer(b"OK", true).await.body, "");
    }

    #[test]
    fn an_event_of_something_else_is_an_answer_and_no_panic() {
        assert_eq!(request(serde_json::json!({})).unwrap_err().status_code, 400);
        let nulls = serde_json::json!({
            "rawPath": null, "rawQueryString": null, "headers": null, "cookies": null, "body": null,
            "isBase64Encoded": null,
            "requestContext": { "http": { "method": "GET", "sourceIp": null }, "timeEpoch": null },
        });
        assert_eq!(request(nulls).unwrap().uri(), "/");
        for nothing in [
            serde_json::json!({ "requestContext": null }),
            serde_json::json!({ "requestContext": { "http": null } }),
        ] {
            assert_eq!(request(nothing).unwrap_err().status_code, 400);
        }
        let long = event(&format!("/{}", "a".repeat(70_000)), "");
        assert_eq!(request(long).unwrap_err().status_code, 414);
    }
}
