//! The parameters of lists, each with what it can't be.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use reqwest::Method;

use crate::world::World;

/// Numbers that are no limit of a list that shows so many.
fn bad_limits(most: usize) -> Vec<String> {
    let mut bad: Vec<String> =
        ["", "0", "-1", "1.5", "1e1", "x", "18446744073709551616", "%00", "0x1", " 1", "1&limit=1"]
            .map(str::to_owned)
            .into();
    bad.push((most + 1).to_string());
    bad
}

/// What is no position in a list whose cursors have so many instants before the id.
fn bad_cursors(instants: usize) -> Vec<String> {
    let of = |micros: i64| BASE64.encode([&micros.to_be_bytes().repeat(instants)[..], &[0; 16]].concat());
    let mut bad: Vec<String> = [
        "",
        "x",
        "%00",
        "AAAA",
        "====",
        "..",
        "2026-11-22T12:00:00Z",
        "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11",
    ]
    .map(str::to_owned)
    .into();
    // Well formed, and out of what the database takes for a time.
    bad.extend([i64::MIN, i64::MAX, -1, -210_866_803_200_000_001, 9_223_371_331_200_000_000].map(of));
    bad.extend(["A".repeat(31), "A".repeat(33), "A".repeat(53), "A".repeat(55), "A".repeat(5_000)]);
    bad.push(format!("{}&cursor={}", of(0), of(0)));
    bad
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_parameter_of_a_list_is_422_and_named() {
    let world = World::new().await;
    let jobs = format!("/monitors/{}/jobs", world.ours.monitor);
    let mut cases: Vec<(&str, &str, String)> = Vec::new();
    for (path, most, instants) in [("/monitors", 1_000, 3), (&*jobs, 100, 1), ("/ping-keys", 1_000, 1)] {
        cases.extend(bad_limits(most).into_iter().map(|value| (path, "limit", value)));
        cases.extend(bad_cursors(instants).into_iter().map(|value| (path, "cursor", value)));
    }
    for (name, values) in [
        ("name", &["%00", "a%00b", "a&name=b", "&name="] as &[_]),
        (
            "status",
            &["", "ok", "New", "new,", ",", "new,x", "new&status=x", "%00", "new%00", "new%20", "not_judged"],
        ),
        ("tag", &["", "a%20b", "a,b", "%00", "a&tag=", "%09", "%7F"]),
    ] {
        cases.extend(values.iter().map(|value| ("/monitors", name, (*value).to_owned())));
    }
    cases.push(("/monitors", "name", "x".repeat(257)));
    cases.push(("/monitors", "tag", "x".repeat(101)));
    cases.push(("/monitors", "tag", (0..21).map(|n| format!("a{n}&tag=")).collect::<String>() + "b"));
    for (path, name, value) in cases {
        let what = format!("{path}?{name}={}", value.chars().take(100).collect::<String>());
        let refusal = world.refused(&Method::GET, &format!("{path}?{name}={value}"), "").await;
        assert_eq!(refusal.code, 422, "{what}");
        assert_eq!(refusal.reason, "Unprocessable Entity", "{what}");
        assert!(refusal.description.starts_with(&format!("{name}: ")), "{what}: {}", refusal.description);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_furthest_parameters_of_a_list_and_unknown_ones_are_taken() {
    let world = World::new().await;
    let jobs = format!("/monitors/{}/jobs", world.ours.monitor);
    let (first, far) = (BASE64.encode([0; 40]), BASE64.encode([0; 24]));
    let last = |instants: usize| {
        let micros: i64 = 253_402_300_799_999_999;
        BASE64.encode([&micros.to_be_bytes().repeat(instants)[..], &[255; 16]].concat())
    };
    for (path, query, found) in [
        // By then none had run.
        ("/monitors", format!("cursor={first}"), 1),
        ("/monitors", format!("cursor={}", last(3)), 1),
        (&*jobs, format!("cursor={far}"), 0),
        (&*jobs, format!("cursor={}", last(1)), 1),
        ("/ping-keys", format!("cursor={far}"), 0),
        ("/ping-keys", format!("cursor={}", last(1)), 1),
        ("/monitors", "limit=1000&name=&unknown=%00&=&&&".to_owned(), 1),
        ("/monitors", format!("name={}", "%F0%9F%A6%80".repeat(256)), 0),
        ("/monitors", "name=%FF".to_owned(), 0),
        ("/monitors", format!("tag={}", "%F0%9F%A6%80".repeat(100)), 0),
        ("/monitors", (0..20).map(|n| format!("tag=a{n}&")).collect(), 0),
        ("/monitors", "status=new&".repeat(500), 0),
        (&*jobs, "limit=100&status=x&name=%00&tag=".to_owned(), 1),
        ("/ping-keys", "limit=1000&name=%00".to_owned(), 1),
        ("/alert-configs", "limit=0&cursor=x".to_owned(), 2),
        ("/maintenance-windows", "limit=0&cursor=x".to_owned(), 1),
    ] {
        let what = format!("{path}?{}", query.chars().take(100).collect::<String>());
        let answer = world.cronmon.call(Method::GET, &format!("{path}?{query}"), None).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        assert_eq!(answer.body["data"].as_array().unwrap().len(), found, "{what}");
    }
    world.nothing_changed("reading").await;
}
