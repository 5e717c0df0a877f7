//! §1, alert configs: create, list, read, change, delete, test.

use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Server, each, has, has_fields, new_id, slack_config, text};
use cronmon_tests::slack::{Slack, TOKEN};

crate::chapter!(
    a_new_one_is_shown_with_its_monitors,
    the_list_says_how_many_monitors_each_has,
    the_list_is_by_id,
    ours_the_token_is_masked_wherever_it_is_shown,
    a_change_takes_all_fields,
    ours_a_change_with_the_mask_keeps_the_token,
    a_field_that_is_missing_or_wrong_is_refused,
    ours_an_unknown_type_is_422,
    a_deleted_one_is_gone,
    an_unknown_one_is_404,
    a_renamed_monitor_shows_its_new_name,
    a_test_is_204_once_slack_said_ok,
    ours_a_test_that_slack_refuses_is_502,
);

const SUMMARY: [&str; 7] = ["active", "alert_config_id", "monitors", "name", "on_error", "on_late", "type"];

async fn a_new_one_is_shown_with_its_monitors(server: &Server) {
    let tenant = server.tenant().await;
    for (active, on_late, on_error) in
        [(true, true, true), (false, true, false), (true, false, false), (false, false, true)]
    {
        let mut body = slack_config("on call", "C123");
        body["active"] = json!(active);
        body["on_late"] = json!(on_late);
        body["on_error"] = json!(on_error);
        let made = tenant.post("/alert-configs", &body).await;
        let made = made.data("POST /alert-configs: 200 AlertConfig");
        let fields = json!({ "active": active, "name": "on call", "on_error": on_error, "on_late": on_late, "monitors": [] });
        has(made, &fields, "AlertConfig");
        let slack = made["type"]["slack"].as_object().unwrap();
        assert_eq!(slack["channel"], "C123", "AlertConfig: {{\"slack\":{{\"channel\":..,\"token\":..}}}}");
        assert!(slack.contains_key("token"), "AlertConfig: {{\"slack\":{{\"channel\":..,\"token\":..}}}}");
        has(
            made,
            &json!({ "on_recovered": true, "default": false }),
            "ours: on_recovered is true, default false",
        );
        let read = tenant.get(&format!("/alert-configs/{}", text(made, "alert_config_id"))).await;
        has(read.data("GET /alert-configs/{a}"), &fields, "what was made is read");
    }
}

async fn the_list_says_how_many_monitors_each_has(server: &Server) {
    let tenant = server.tenant().await;
    let empty = tenant.get("/alert-configs").await;
    assert_eq!(empty.data("an empty list"), &json!([]));
    assert_eq!(empty.body["paging"]["total"], 0, "'\"paging\":{{...}}'");
    let config = tenant.slack("C1", &json!({ "active": false })).await;
    for count in 0..3 {
        let list = tenant.get("/alert-configs").await;
        let shown = &list.data("GET /alert-configs")[0];
        has_fields(shown, &SUMMARY, "AlertConfigSummary");
        has(
            shown,
            &json!({
                "active": false, "alert_config_id": config, "monitors": count, "name": "to Slack",
                "on_error": true, "on_late": true, "type": "slack",
            }),
            "AlertConfigSummary: \"monitors\":<count>, \"type\":\"slack\"",
        );
        assert_eq!(list.body["paging"]["total"], 1, "'\"paging\":{{...}}'");
        let monitor = tenant.monitor("a", 1, 1).await;
        tenant.attach(&monitor, &[&config]).await.no_content("one more");
    }
}

async fn the_list_is_by_id(server: &Server) {
    let tenant = server.tenant().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(tenant.slack("C1", &json!({})).await);
    }
    ids.sort();
    let list = tenant.get("/alert-configs").await;
    assert_eq!(each(list.data("GET /alert-configs"), "alert_config_id"), ids, "'alert configs by id'");
}

/// The original shows it in clear.
async fn ours_the_token_is_masked_wherever_it_is_shown(server: &Server) {
    let tenant = server.tenant().await;
    let monitor = tenant.monitor("a", 1, 1).await;
    let body = slack_config("a", "C1");
    let made = tenant.post("/alert-configs", &body).await;
    let path = format!("/alert-configs/{}", text(made.data("it is made"), "alert_config_id"));
    tenant.attach(&monitor, &[text(&made.body["data"], "alert_config_id")]).await.no_content("attached");
    for answer in [
        made,
        tenant.get(&path).await,
        tenant.patch(&path, &body).await,
        tenant.get("/alert-configs").await,
        tenant.get(&format!("/monitors/{monitor}/alert-configs")).await,
    ] {
        answer.data("secrets come back masked");
        assert!(!answer.text.contains(TOKEN), "fault 14: secrets come back masked: {answer}");
    }
    let read = tenant.get(&path).await;
    let masked = text(&read.data("it is read")["type"]["slack"], "token").to_owned();
    assert!(masked.contains('*') && masked != "the token is masked: {masked}");
    if let Some(stack) = server.stack() {
        for log in [stack.functions.api.log(), stack.functions.notify.log()] {
            assert!(!log.contains(TOKEN), "fault 14: no token is written to the log");
        }
    }
}

async fn a_change_takes_all_fields(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, config) = (tenant.monitor("a", 1, 1).await, tenant.slack("C1", &json!({})).await);
    tenant.attach(&monitor, &[&config]).await.no_content("attached");
    let path = format!("/alert-configs/{config}");
    let body = json!({
        "name": "other", "active": false, "on_late": false, "on_error": false,
        "type": { "slack": { "channel": "C2", "token": "xoxb-0987654321-zyxwvutsrqpo" } },
    });
    let changed = tenant.patch(&path, &body).await;
    let fields = json!({ "name": "other", "active": false, "on_late": false, "on_error": false, "alert_config_id": config });
    has(changed.data("PATCH /alert-configs: 200 AlertConfig"), &fields, "PATCH: all fields");
    assert_eq!(changed.body["data"]["type"]["slack"]["channel"], "C2", "PATCH: all fields");
    let monitors = json!([{ "monitor_id": monitor, "name": "a" }]);
    assert_eq!(changed.body["data"]["monitors"], monitors, "a change keeps the associations");
    let read = tenant.get(&path).await;
    assert_eq!(read.data("GET /alert-configs/{a}")["name"], "other", "a change is saved");
    let text =
        tenant.patch(&path, &json!({ "name": "x" })).await.unusable("'as POST, all fields'").to_owned();
    assert!(text.contains("type"), "the description names the field: {text}");
}

async fn ours_a_change_with_the_mask_keeps_the_token(server: &Server) {
    let tenant = server.tenant().await;
    let channel = Slack::channel();
    let config = tenant.slack(&channel, &json!({})).await;
    let path = format!("/alert-configs/{config}");
    // As cron-mon-app does: what was read is sent back, changed.
    let mut body = tenant.get(&path).await.data("it is read").clone();
    body["name"] = json!("other");
    tenant.patch(&path, &body).await.data("a PATCH with the mask");
    tenant.send("POST", &format!("{path}/test"), None).await.no_content("the token is still there");
    let sentence = "a PATCH with the mask keeps the secret";
    assert_eq!(server.slack.heard(&channel)[0].authorization, format!("Bearer {TOKEN}"), "{sentence}");
    body["type"]["slack"]["token"] = json!("xoxb-another-token-altogether");
    tenant.patch(&path, &body).await.data("a PATCH with another token");
    server.slack.answer(&channel, 200, json!({ "ok": true }), Duration::ZERO);
    tenant.send("POST", &format!("{path}/test"), None).await.no_content("the other token");
    let heard = server.slack.heard(&channel);
    assert_eq!(
        heard[1].authorization, "Bearer xoxb-another-token-altogether",
        "another token is another token"
    );
}

async fn a_field_that_is_missing_or_wrong_is_refused(server: &Server) {
    let tenant = server.tenant().await;
    let config = tenant.slack("C1", &json!({})).await;
    let good = slack_config("a", "C1");
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let mut nameless = good.clone();
    nameless.as_object_mut().unwrap().remove("name");
    let mut typeless = good.clone();
    typeless.as_object_mut().unwrap().remove("type");
    for body in [
        nameless,
        typeless,
        with("name", json!(1)),
        with("active", json!("true")),
        with("on_late", json!(1)),
        with("on_error", json!(null)),
        with("type", json!("slack")),
        with("type", json!({})),
        with("type", json!({ "slack": { "channel": "C1" } })),
        with("type", json!({ "slack": { "token": TOKEN } })),
        with("type", json!({ "slack": { "channel": 1, "token": TOKEN } })),
        with("type", json!({ "slack": { "channel": "C1", "token": null } })),
        with("type", json!({ "slack": ["C1", TOKEN] })),
        // A NUL is 500 in the original.
        with("name", json!("a\0b")),
        with("type", json!({ "slack": { "channel": "C\0", "token": TOKEN } })),
        with("type", json!({ "slack": { "channel": "C1", "token": "xoxb-\0" } })),
    ] {
        let answer = tenant.post("/alert-configs", &body).await;
        answer.unusable("what can't be used is 422");
        let answer = tenant.patch(&format!("/alert-configs/{config}"), &body).await;
        answer.unusable("what can't be used is 422");
    }
    let list = tenant.get("/alert-configs").await;
    assert_eq!(list.body["paging"]["total"], 1, "what is refused is not made");
}

/// The original answers 500 with serde's words.
async fn ours_an_unknown_type_is_422(server: &Server) {
    let tenant = server.tenant().await;
    for kind in ["pager", "Slack", ""] {
        let mut body = slack_config("a", "C1");
        body["type"] = json!({ kind: { "channel": "C1", "token": TOKEN } });
        let answer = tenant.post("/alert-configs", &body).await;
        let description = answer.unusable("unknown alert types: 422");
        assert!(description.contains("type"), "the description names the field: {description}");
    }
}

async fn a_deleted_one_is_gone(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, config) = (tenant.monitor("a", 1, 1).await, tenant.slack("C1", &json!({})).await);
    tenant.attach(&monitor, &[&config]).await.no_content("attached");
    let path = format!("/alert-configs/{config}");
    tenant.delete(&path).await.no_content("DELETE /alert-configs: 204");
    tenant.get(&path).await.no_config(&config, "it is gone");
    let list = tenant.get(&format!("/monitors/{monitor}/alert-configs")).await;
    assert_eq!(list.data("its monitor is left"), &json!([]), "its associations go too");
    assert_eq!(list.body["paging"]["total"], 0, "its associations go too");
}

async fn an_unknown_one_is_404(server: &Server) {
    let tenant = server.tenant().await;
    let id = new_id();
    let path = format!("/alert-configs/{id}");
    let sentence = "404 Alert Configuration Not Found, Failed to find alert configuration with id '{a}'";
    tenant.get(&path).await.no_config(&id, sentence);
    tenant.patch(&path, &slack_config("a", "C1")).await.no_config(&id, sentence);
    tenant.delete(&path).await.no_config(&id, sentence);
    tenant.send("POST", &format!("{path}/test"), None).await.no_config(&id, sentence);
}

async fn a_renamed_monitor_shows_its_new_name(server: &Server) {
    let tenant = server.tenant().await;
    let config = tenant.slack("C1", &json!({})).await;
    let (first, second) = (tenant.monitor("first", 1, 1).await, tenant.monitor("second", 1, 1).await);
    // By association, not by creation or name.
    for monitor in [&second, &first] {
        tenant.attach(monitor, &[&config]).await.no_content("attached");
    }
    let names = async || {
        let read = tenant.get(&format!("/alert-configs/{config}")).await;
        let monitors = &read.data("GET /alert-configs/{a}")["monitors"];
        assert_eq!(
            each(monitors, "monitor_id"),
            [second.as_str(), &first],
            "'`monitors` of an alert config by association'"
        );
        each(monitors, "name").join(" ")
    };
    assert_eq!(names().await, "second first");
    let body = json!({ "name": "renamed", "expected_duration": 1, "grace_duration": 1 });
    tenant.patch(&format!("/monitors/{second}"), &body).await.data("it is renamed");
    assert_eq!(names().await, "renamed first", "'A renamed monitor shows its new name in alert configs'");
}

async fn a_test_is_204_once_slack_said_ok(server: &Server) {
    let tenant = server.tenant().await;
    let channel = Slack::channel();
    let config = tenant.slack(&channel, &json!({ "active": false })).await;
    let answer = tenant.send("POST", &format!("/alert-configs/{config}/test"), None).await;
    answer.no_content("POST /alert-configs/{a}/test: 204 once Slack said ok");
    let heard = server.slack.heard(&channel);
    assert_eq!(heard.len(), 1, "one message");
    let name = "to Slack";
    assert_eq!(
        heard[0].message,
        json!({
            "channel": channel, "text": format!("Test '{name}' alert"),
            "blocks": [
                { "type": "section", "text": { "type": "plain_text", "text": "Test alert triggered by 'Test User'" } },
                { "type": "section", "text": { "type": "mrkdwn", "text": format!("`alert_config_id: {config}`") } },
            ],
        }),
        "the test's payload; JWT `name`",
    );
    assert_eq!(heard[0].authorization, format!("Bearer {TOKEN}"), "`Authorization: Bearer <token>`");
}

/// The original answers 500.
async fn ours_a_test_that_slack_refuses_is_502(server: &Server) {
    let tenant = server.tenant().await;
    let channel = Slack::channel();
    let config = tenant.slack(&channel, &json!({})).await;
    for (status, body) in [
        (200, json!({ "ok": false, "error": "channel_not_found" })),
        (200, json!({ "ok": false, "error": "invalid_auth" })),
        (500, json!("no JSON of Slack's")),
    ] {
        server.slack.answer(&channel, status, body.clone(), Duration::ZERO);
        let answer = tenant.send("POST", &format!("/alert-configs/{config}/test"), None).await;
        let description = answer.refused(502, "Notify Error", "Notify Error: 502, not 500");
        assert!(description.starts_with("Failed to notify: "), "'Failed to notify: ...': {description}");
        if let Some(error) = body["error"].as_str() {
            assert!(description.contains(error), "it says what Slack said: {description}");
        }
        assert!(!description.contains(TOKEN), "it does not say the token");
    }
}
