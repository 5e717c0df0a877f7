//! The parameters of a history, each with what it can't be.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use reqwest::Method;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_parameter_is_422_and_named() {
    let world = World::new().await;
    let path = format!("/monitors/{}/pings", world.ours.monitor);
    let cursor = |micros: i64| BASE64.encode([&micros.to_be_bytes()[..], &[0; 16]].concat());
    let id = "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";
    let mut cases = vec![("rid", format!("{id}&rid={id}")), ("limit", "1&limit=1".to_owned())];
    for (name, values) in [
        (
            "kind",
            &["", "starts", "Start", "start,", ",", "start,x", "start&kind=x", "%00", "start%00"] as &[_],
        ),
        ("rid", &["", "x", "%00", "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a1", "%FF"]),
        ("limit", &["", "0", "-1", "101", "1.5", "1e1", "x", "9223372036854775808", "%00", "0x1", " 1"]),
        ("cursor", &["", "x", "%00", "AAAA", "====", "..", "2026-11-22T12:00:00Z", id]),
    ] {
        cases.extend(values.iter().map(|value| (name, (*value).to_owned())));
    }
    for name in ["since", "until"] {
        for value in [
            "",
            "x",
            "0",
            "now",
            "2026-11-22",
            "2026-11-22T12:00:00",
            "2026-11-22T12:00:00+02:00",
            "2026-13-22T12:00:00Z",
            "2026-11-22T25:00:00Z",
            "-2026-11-22T12:00:00Z",
            "12026-11-22T12:00:00Z",
            "2026-11-22T12:00:00Z%00",
            "infinity",
            "1795348800",
        ] {
            cases.push((name, value.to_owned()));
        }
    }
    // Well formed, and out of what the database takes for a time.
    for micros in [i64::MIN, i64::MAX, -1, -210_866_803_200_000_001, 9_223_371_331_200_000_000] {
        cases.push(("cursor", cursor(micros)));
    }
    cases.push(("cursor", "A".repeat(5_000)));
    for (name, value) in cases {
        let refusal = world.refused(&Method::GET, &format!("{path}?{name}={value}"), "").await;
        assert_eq!(refusal.code, 422, "{name}={value}");
        assert_eq!(refusal.reason, "Unprocessable Entity", "{name}={value}");
        let named = refusal.description.starts_with(&format!("{name}: "));
        assert!(named, "{name}={value}: {}", refusal.description);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_furthest_instants_and_unknown_parameters_are_taken() {
    let world = World::new().await;
    let path = format!("/monitors/{}/pings", world.ours.monitor);
    let cursor = BASE64.encode([0; 24]);
    for (query, found) in [
        ("since=0000-01-01T00:00:00Z&until=9999-12-31T23:59:60Z".to_owned(), 1),
        ("until=0000-01-01T00:00:00Z".to_owned(), 0),
        ("since=9999-12-31T23:59:59.999999999%2B14:00".to_owned(), 0),
        (format!("cursor={cursor}"), 0),
        ("unknown=%00&needle=x&=&&&".to_owned(), 1),
        ("KIND=x&limits=0".to_owned(), 1),
    ] {
        let answer = world.cronmon.call(Method::GET, &format!("{path}?{query}"), None).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        assert_eq!(answer.body["data"].as_array().unwrap().len(), found, "{query}");
    }
    world.nothing_changed("reading").await;
}
