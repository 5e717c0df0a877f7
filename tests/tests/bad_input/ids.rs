//! Ids in a path.

use cronmon_tests::contents::count;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::world::{World, routes};

const BAD: [&str; 15] = [
    "x",
    "1",
    "null",
    "%00",
    "%ff",
    "%C0%80",
    "%F0%9F%A6%80",
    "..%2F..",
    "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a1",
    "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a111",
    "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a1g",
    "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11%00",
    "%205b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11",
    "%7B5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11",
    "'%20or%201=1--",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_uuid_is_refused_in_every_place() {
    let world = World::new().await;
    let good = Uuid::new_v4().to_string();
    for bad in BAD {
        for route in routes() {
            for place in 0..route.id_count() {
                let mut ids = vec![good.as_str(); route.id_count()];
                ids[place] = bad;
                let path = route.with(&ids);
                let refusal = world.refused(&route.method, &path, "").await;
                assert_eq!(refusal.code, 422, "{} {path}", route.method);
                assert_eq!(refusal.reason, "Unprocessable Entity", "{path}");
                assert_eq!(refusal.description, "The path holds an id that is not a UUID.", "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_is_looked_at_before_the_body() {
    let world = World::new().await;
    let huge = vec![b'x'; 2_000_000];
    for route in routes().iter().filter(|route| route.takes_body && route.id_count() > 0) {
        let path = route.with(&["x"]);
        for body in [b"{".to_vec(), b"[]".to_vec(), huge.clone()] {
            let refusal = world.refused(&route.method, &path, body).await;
            assert_eq!(refusal.description, "The path holds an id that is not a UUID.", "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_is_looked_at_before_it_is_asked_whether_the_id_exists() {
    let world = World::new().await;
    let unknown = Uuid::new_v4().to_string();
    let no_uuid = json!({ "alert_config_ids": ["x"] });
    for route in routes().iter().filter(|route| route.takes_body && route.id_count() > 0) {
        let path = route.with(&[&unknown]);
        let incomplete = json!({ "name": "a" });
        for body in [json!({}), incomplete, json!({ "name": 1 }), no_uuid.clone()] {
            // A window may be changed in its name alone.
            if route.parts[0] == "/maintenance-windows/" && body == json!({ "name": "a" }) {
                continue;
            }
            let refusal = world.refused(&route.method, &path, body.to_string()).await;
            assert_eq!(refusal.code, 422, "{} {path} {body}: {}", route.method, refusal.description);
        }
        assert_eq!(world.refused(&route.method, &path, "{").await.code, 400, "{} {path}", route.method);
        let good = route.good_body(&world.ours).to_string();
        assert_eq!(world.refused(&route.method, &path, good).await.code, 404, "{} {path}", route.method);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upper_case_no_dashes_and_braces_are_accepted_and_answered_in_the_usual_form() {
    let world = World::new().await;
    let ours = &world.ours;
    let forms = |id: &str| {
        [id.to_uppercase(), id.replace('-', ""), format!("%7B{id}%7D"), format!("{{{}}}", id.to_uppercase())]
    };
    for id in forms(&ours.monitor) {
        let answer = world.cronmon.call(Method::GET, &format!("/monitors/{id}"), None).await;
        assert_eq!(answer.status, 200, "{id}");
        assert_eq!(answer.body["data"]["monitor_id"], ours.monitor, "{id}");
        for job in forms(&ours.job) {
            let path = format!("/monitors/{id}/jobs/{job}");
            let answer = world.cronmon.call(Method::GET, &path, None).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.body["data"]["job_id"], ours.job, "{path}");
        }
    }
    for id in forms(&ours.free) {
        let answer = world.cronmon.call(Method::GET, &format!("/alert-configs/{id}"), None).await;
        assert_eq!(answer.status, 200, "{id}");
        assert_eq!(answer.body["data"]["alert_config_id"], ours.free, "{id}");
    }
    let unknown = Uuid::new_v4();
    for id in forms(&unknown.to_string()) {
        let refusal = world.refused(&Method::GET, &format!("/monitors/{id}"), "").await;
        assert_eq!(refusal.description, format!("Failed to find monitor with id '{unknown}'"));
    }
    // In a body too.
    let path = format!("/monitors/{}/alert-configs", ours.monitor);
    let body = json!({ "alert_config_ids": [ours.free.to_uppercase()] });
    assert_eq!(world.cronmon.call(Method::POST, &path, Some(&body)).await.status, 204);
    let path = format!("{path}/{}", ours.free.replace('-', ""));
    assert_eq!(world.cronmon.call(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(count(&world.cronmon.pool, "select count(*) from monitor_alert_config").await, 2);
}
