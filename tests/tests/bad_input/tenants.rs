//! What belongs to another tenant does not exist.

use std::collections::BTreeSet;
use std::time::Duration;

use cronmon_tests::CronMon;
use cronmon_tests::contents::contents;
use cronmon_tests::databases::new_database;
use cronmon_tests::proxy::{Proxy, port_of};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::world::{World, routes};

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_ids_are_answered_as_unknown_ones_on_every_path() {
    let world = World::new().await;
    let (ours, theirs) = (&world.ours, &world.theirs);
    let mut tried = 0;
    for route in routes().iter().filter(|route| route.id_count() > 0) {
        let (our_ids, their_ids) = (route.ids(ours), route.ids(theirs));
        // Theirs in each place, and in both.
        let mut cases = vec![their_ids.clone()];
        if let ([our_first, our_second], [their_first, their_second]) = (&our_ids[..], &their_ids[..]) {
            cases.push(vec![their_first.clone(), our_second.clone()]);
            cases.push(vec![our_first.clone(), their_second.clone()]);
            if route.parts[1] == "/alert-configs/" {
                cases.push(vec![our_first.clone(), theirs.free.clone()]);
            }
        }
        for ids in cases {
            let unknown: Vec<String> = ids.iter().map(|_| Uuid::new_v4().to_string()).collect();
            let belongs_to_us = |id: &String| our_ids.contains(id);
            // The same request with unknown ids for theirs.
            let without: Vec<&str> = ids
                .iter()
                .zip(&unknown)
                .map(|(id, unknown)| if belongs_to_us(id) { id.as_str() } else { unknown.as_str() })
                .collect();
            let with: Vec<&str> = ids.iter().map(String::as_str).collect();
            let body = route.good_body(ours).to_string();
            let refusal = world.refused(&route.method, &route.with(&with), body.clone()).await;
            let expected = world.refused(&route.method, &route.with(&without), body).await;
            let mut description = expected.description;
            for (unknown, id) in without.iter().zip(&with) {
                description = description.replace(unknown, id);
            }
            let what = format!("{} {}", route.method, route.with(&with));
            assert_eq!(refusal.code, 404, "{what}");
            assert_eq!(refusal.reason, expected.reason, "{what}");
            assert_eq!(refusal.description, description, "{what}");
            tried += 1;
        }
    }
    assert_eq!(tried, 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_alert_config_cannot_be_attached() {
    let world = World::new().await;
    let (ours, theirs) = (&world.ours, &world.theirs);
    let path = format!("/monitors/{}/alert-configs", ours.monitor);
    for ids in
        [json!([theirs.free]), json!([ours.free, theirs.free]), json!([theirs.attached, ours.attached])]
    {
        let body = json!({ "alert_config_ids": ids });
        let refusal = world.refused(&Method::POST, &path, body.to_string()).await;
        let foreign = if ids.to_string().contains(&theirs.free) { &theirs.free } else { &theirs.attached };
        assert_eq!(refusal.code, 404);
        let description = format!("Failed to find alert configuration with id '{foreign}'");
        assert_eq!(refusal.description, description);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_ones_own_only() {
    let world = World::new().await;
    let ids = async |tenant: &str, path: &str, field: &str| -> BTreeSet<String> {
        let list = world.cronmon.call_as(tenant, Method::GET, path, None).await;
        assert_eq!(list.status, 200);
        let data = list.body["data"].as_array().unwrap();
        assert_eq!(list.body["paging"]["total"], data.len());
        data.iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
    };
    for (tenant, own) in [("acme", &world.ours), ("globex", &world.theirs)] {
        assert_eq!(ids(tenant, "/monitors", "monitor_id").await, BTreeSet::from([own.monitor.clone()]));
        let configs = BTreeSet::from([own.attached.clone(), own.free.clone()]);
        assert_eq!(ids(tenant, "/alert-configs", "alert_config_id").await, configs);
        let keys = BTreeSet::from([own.ping_key.clone()]);
        assert_eq!(ids(tenant, "/ping-keys", "ping_key_id").await, keys);
        let windows = BTreeSet::from([own.window.clone()]);
        assert_eq!(ids(tenant, "/maintenance-windows", "window_id").await, windows);
    }
    for tenant in ["Acme", "acme ", " acme", "acme%", "_", "initech"] {
        assert!(ids(tenant, "/monitors", "monitor_id").await.is_empty(), "{tenant}");
        assert!(ids(tenant, "/alert-configs", "alert_config_id").await.is_empty(), "{tenant}");
        assert!(ids(tenant, "/ping-keys", "ping_key_id").await.is_empty(), "{tenant}");
        assert!(ids(tenant, "/maintenance-windows", "window_id").await.is_empty(), "{tenant}");
    }
}

/// What takes as many statements, rows and bytes takes as long.
#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_ids_ask_as_much_of_the_database_as_unknown_ones() {
    let database_url = new_database().await;
    let proxy = Proxy::before(port_of(&database_url)).await;
    let world = World::of(CronMon::start_on(&proxy.in_front_of(&database_url), None).await).await;
    for route in routes().iter().filter(|route| route.id_count() > 0) {
        let theirs = route.ids(&world.theirs);
        let unknown: Vec<String> = theirs.iter().map(|_| Uuid::new_v4().to_string()).collect();
        let mut told = Vec::new();
        for ids in [&theirs, &unknown] {
            let path = route.with(&ids.iter().map(String::as_str).collect::<Vec<_>>());
            let url = format!("{}/api/v1{path}", world.cronmon.url);
            let said = proxy.said();
            let request = world.cronmon.http.request(route.method.clone(), url);
            let request = request.bearer_auth(world.cronmon.issuer.token("acme"));
            let response = request.body(route.good_body(&world.ours).to_string()).send().await.unwrap();
            assert_eq!(response.status(), 404, "{path}");
            let bytes = response.text().await.unwrap().len();
            // A transaction is taken back after the answer.
            tokio::time::sleep(Duration::from_millis(30)).await;
            told.push((proxy.said() - said, bytes));
        }
        assert_eq!(told[0], told[1], "{} {:?}", route.method, route.parts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_starts_and_finishes_nothing_of_another_tenant() {
    let world = World::new().await;
    let (ours, theirs) = (&world.ours, &world.theirs);
    let post = async |monitor: &str, rest: &str| {
        let path = format!("/monitors/{monitor}/jobs/{rest}");
        let body = json!({ "succeeded": true });
        let answer = world.cronmon.call_by_key(&ours.key, Method::POST, &path, Some(&body)).await;
        (answer.status.as_u16(), answer.body["error"]["description"].as_str().unwrap_or_default().to_owned())
    };
    let unknown = Uuid::new_v4().to_string();
    let their_monitor = &theirs.monitor;
    for rest in ["start".to_owned(), format!("{}/finish", theirs.job)] {
        let (status, why) = post(their_monitor, &rest).await;
        assert_eq!((status, why.clone()), (404, format!("Failed to find monitor with id '{their_monitor}'")));
        assert_eq!(post(&unknown, &rest).await, (404, why.replace(their_monitor.as_str(), &unknown)));
    }
    world.nothing_changed("nor was the key used").await;
    let (status, why) = post(&ours.monitor, &format!("{}/finish", theirs.job)).await;
    assert_eq!(status, 404);
    assert_eq!(why, format!("Failed to find job with id '{}' in Monitor('{}')", theirs.job, ours.monitor));
    assert_eq!(
        post(&ours.monitor, &format!("{unknown}/finish")).await,
        (404, why.replace(theirs.job.as_str(), &unknown))
    );
    let mut after = contents(&world.cronmon.pool).await;
    let mut before = world.before();
    assert_ne!(before.remove("api_key"), after.remove("api_key"), "our key was used");
    assert_eq!(after, before);
}
