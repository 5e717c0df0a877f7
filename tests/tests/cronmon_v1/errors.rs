//! §1, framework errors, the order of checks, what bodies and ids may look like.

use serde_json::json;

use crate::server::{Answer, Server, new_id, slack_config, text};
use cronmon_tests::slack::Slack;

crate::chapter!(
    a_body_that_is_no_json_is_400,
    json_above_1_mib_is_413,
    a_field_that_is_missing_or_wrong_is_422,
    ours_an_array_in_place_of_an_object_is_422,
    content_type_is_not_looked_at,
    extra_fields_are_ignored,
    an_id_in_the_path_that_is_no_uuid_is_422,
    ids_are_taken_in_any_form_and_answered_in_one,
    the_route_is_checked_before_authentication,
    authentication_is_checked_before_the_ids_in_the_path,
    ids_in_the_path_are_checked_before_the_body,
    the_body_is_checked_before_the_store,
    the_body_is_checked_before_the_value_of_the_key,
    the_value_of_the_key_is_checked_before_the_store,
);

const MONITOR: &str = r#"{"name":"a","expected_duration":1,"grace_duration":1}"#;

async fn a_body_that_is_no_json_is_400(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let job = server.started(&key.key, &monitor).await;
    let config = tenant.slack(&Slack::channel(), &json!({})).await;
    let authorization = format!("Bearer {}", tenant.token);
    for (method, path) in [
        ("POST", "/monitors".to_owned()),
        ("PATCH", format!("/monitors/{monitor}")),
        ("POST", "/keys".to_owned()),
        ("POST", "/alert-configs".to_owned()),
        ("PATCH", format!("/alert-configs/{config}")),
        ("POST", format!("/monitors/{monitor}/alert-configs")),
        ("POST", format!("/monitors/{monitor}/jobs/{job}/finish")),
    ] {
        let headers: &[_] = if path.ends_with("finish") {
            &[("x-api-key", key.key.as_str())]
        } else {
            &[("authorization", authorization.as_str())]
        };
        for body in [&b"{"[..], b"", b"{'name':1}", b"{\"name\":\"\xff\"}"] {
            let answer = server.send(method, &path, headers, Some(body.to_vec())).await;
            answer.refused(400, "Bad Request", "'malformed JSON, empty body, bad UTF-8': 400");
        }
    }
    let job = tenant.read_job(&monitor, &job).await;
    assert_eq!(job["in_progress"], true, "a body that is refused does nothing: {job}");
}

async fn json_above_1_mib_is_413(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let job = server.started(&key.key, &monitor).await;
    let body = |length: usize| {
        let around = r#"{"succeeded":true,"output":""}"#.len();
        format!(r#"{{"succeeded":true,"output":"{}"}}"#, "x".repeat(length - around))
    };
    let path = format!("/monitors/{monitor}/jobs/{job}/finish");
    for length in [1_048_577, 2_000_000] {
        let answer = server.with_key(&key.key, "POST", &path, &body(length)).await;
        answer.refused(413, "Payload Too Large", "'JSON above 1 MiB': 413");
        let answer = tenant.send("POST", "/monitors", Some(&body(length))).await;
        answer.refused(413, "Payload Too Large", "'JSON above 1 MiB': 413");
    }
    let answer = server.with_key(&key.key, "POST", &path, &body(1_048_576)).await;
    answer.data("'JSON above 1 MiB': 413, but not 1 MiB itself");
}

async fn a_field_that_is_missing_or_wrong_is_422(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let job = server.started(&key.key, &monitor).await;
    let one = format!("/monitors/{monitor}");
    let monitors = [
        (r#"{"expected_duration":1,"grace_duration":1}"#, "missing"),
        (r#"{"name":"a","grace_duration":1}"#, "missing"),
        (r#"{"name":"a","expected_duration":1}"#, "missing"),
        (r#"{"name":1,"expected_duration":1,"grace_duration":1}"#, "wrong-typed"),
        (r#"{"name":null,"expected_duration":1,"grace_duration":1}"#, "wrong-typed"),
        (r#"{"name":"a","expected_duration":"1","grace_duration":1}"#, "wrong-typed"),
        (r#"{"name":"a","expected_duration":1,"grace_duration":true}"#, "wrong-typed"),
        (r#"{"name":"a","name":"b","expected_duration":1,"grace_duration":1}"#, "duplicate field"),
        (r#"{"name":"a","expected_duration":2147483648,"grace_duration":1}"#, "i32 overflow"),
        (r#"{"name":"a","expected_duration":1,"grace_duration":-2147483649}"#, "i32 overflow"),
        (r#"{"name":"a","expected_duration":1.5,"grace_duration":1}"#, "1.5 for an int"),
        (r#"{"name":"a","expected_duration":1,"grace_duration":10.0}"#, "10.0 for an int"),
    ];
    for (body, sentence) in monitors {
        tenant.send("POST", "/monitors", Some(body)).await.unusable(sentence);
        tenant.send("PATCH", &one, Some(body)).await.unusable(sentence);
    }
    for (body, sentence) in [
        ("{}", "missing"),
        (r#"{"name":1}"#, "wrong-typed"),
        (r#"{"name":null}"#, "wrong-typed"),
        (r#"{"name":"a","name":"a"}"#, "duplicate field"),
    ] {
        tenant.send("POST", "/keys", Some(body)).await.unusable(sentence);
    }
    for (body, sentence) in [
        ("{}", "missing"),
        (r#"{"output":"x"}"#, "missing"),
        (r#"{"succeeded":null}"#, "wrong-typed"),
        (r#"{"succeeded":1}"#, "wrong-typed"),
        (r#"{"succeeded":"true"}"#, "wrong-typed"),
        (r#"{"succeeded":true,"output":1}"#, "wrong-typed"),
        (r#"{"succeeded":true,"output":["x"]}"#, "wrong-typed"),
        (r#"{"succeeded":true,"output":{}}"#, "wrong-typed"),
        (r#"{"succeeded":true,"succeeded":true}"#, "duplicate field"),
        (r#"{"succeeded":true,"output":"a","output":"b"}"#, "duplicate field"),
    ] {
        let path = format!("{one}/jobs/{job}/finish");
        server.with_key(&key.key, "POST", &path, body).await.unusable(sentence);
    }
    for (body, sentence) in [
        ("{}", "missing"),
        (r#"{"alert_config_ids":null}"#, "wrong-typed"),
        (r#"{"alert_config_ids":"x"}"#, "wrong-typed"),
        (r#"{"alert_config_ids":["x"]}"#, "wrong-typed"),
        (r#"{"alert_config_ids":[1]}"#, "wrong-typed"),
        (r#"{"alert_config_ids":[],"alert_config_ids":[]}"#, "duplicate field"),
    ] {
        tenant.send("POST", &format!("{one}/alert-configs"), Some(body)).await.unusable(sentence);
    }
    let job = tenant.read_job(&monitor, &job).await;
    assert_eq!(job["in_progress"], true, "what is refused does nothing: {job}");
}

/// The original takes `["n",1,2]`.
async fn ours_an_array_in_place_of_an_object_is_422(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let job = server.started(&key.key, &monitor).await;
    let sentence = "an array in place of an object: 422";
    tenant.send("POST", "/monitors", Some(r#"["n",1,2]"#)).await.unusable(sentence);
    tenant.send("PATCH", &format!("/monitors/{monitor}"), Some(r#"["n",1,2]"#)).await.unusable(sentence);
    tenant.send("POST", "/keys", Some(r#"["n"]"#)).await.unusable(sentence);
    tenant.send("POST", "/alert-configs", Some("[]")).await.unusable(sentence);
    tenant.send("POST", &format!("/monitors/{monitor}/alert-configs"), Some("[[]]")).await.unusable(sentence);
    for body in ["[true,null]", "true", "null", "\"x\""] {
        let path = format!("/monitors/{monitor}/jobs/{job}/finish");
        server.with_key(&key.key, "POST", &path, body).await.unusable(sentence);
    }
}

async fn content_type_is_not_looked_at(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let authorization = format!("Bearer {}", tenant.token);
    for kind in
        ["application/json", "text/plain", "application/x-www-form-urlencoded", "image/png", "nonsense"]
    {
        let headers = [("authorization", authorization.as_str()), ("content-type", kind)];
        let answer = server.send("POST", "/monitors", &headers, Some(MONITOR.into())).await;
        answer.data("'Content-Type is not looked at'");
        let job = server.started(&key.key, &monitor).await;
        let headers = [("x-api-key", key.key.as_str()), ("content-type", kind)];
        let path = format!("/monitors/{monitor}/jobs/{job}/finish");
        let answer = server.send("POST", &path, &headers, Some(br#"{"succeeded":true}"#.to_vec())).await;
        answer.data("'Content-Type is not looked at'");
    }
}

async fn extra_fields_are_ignored(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let sentence = "'Extra fields ignored'";
    let extra = json!({ "name": "a", "expected_duration": 1, "grace_duration": 1, "colour": { "red": [1] } });
    tenant.post("/monitors", &extra).await.data(sentence);
    tenant.patch(&format!("/monitors/{monitor}"), &extra).await.data(sentence);
    tenant.post("/keys", &json!({ "name": "k", "colour": 1 })).await.data(sentence);
    let mut config = slack_config("c", &Slack::channel());
    config["colour"] = json!(null);
    let made = tenant.post("/alert-configs", &config).await;
    let ids = json!({ "alert_config_ids": [made.data(sentence)["alert_config_id"]], "colour": 1 });
    tenant.post(&format!("/monitors/{monitor}/alert-configs"), &ids).await.no_content(sentence);
    let body = json!({ "succeeded": true, "output": "x", "exit_code": 0 });
    let job = server.finished(&key.key, &monitor, &body).await;
    assert_eq!(job["succeeded"], true, "{sentence}: {job}");
}

async fn an_id_in_the_path_that_is_no_uuid_is_422(server: &Server) {
    let tenant = server.tenant().await;
    let key = tenant.key().await;
    let id = new_id();
    let sentence = "'path not a UUID': 422";
    let mut wrong = vec!["x".to_owned(), "1".to_owned(), format!("{id}0"), format!("{}g", &id[..35])];
    wrong.push("%20".to_owned());
    for bad in wrong {
        for (method, path) in [
            ("GET", format!("/monitors/{bad}")),
            ("DELETE", format!("/monitors/{bad}")),
            ("GET", format!("/monitors/{bad}/jobs/{id}")),
            ("GET", format!("/monitors/{id}/jobs/{bad}")),
            ("DELETE", format!("/keys/{bad}")),
            ("GET", format!("/alert-configs/{bad}")),
            ("DELETE", format!("/alert-configs/{bad}")),
            ("POST", format!("/alert-configs/{bad}/test")),
            ("GET", format!("/monitors/{bad}/alert-configs")),
            ("DELETE", format!("/monitors/{bad}/alert-configs/{id}")),
            ("DELETE", format!("/monitors/{id}/alert-configs/{bad}")),
        ] {
            tenant.send(method, &path, None).await.unusable(sentence);
        }
        for path in [
            format!("/monitors/{bad}/jobs/start"),
            format!("/monitors/{bad}/jobs/{id}/finish"),
            format!("/monitors/{id}/jobs/{bad}/finish"),
        ] {
            let answer = server.with_key(&key.key, "POST", &path, r#"{"succeeded":true}"#).await;
            answer.unusable(sentence);
        }
    }
}

async fn ids_are_taken_in_any_form_and_answered_in_one(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, key) = (tenant.monitor("a", 1, 1).await, tenant.key().await);
    let config = tenant.slack(&Slack::channel(), &json!({})).await;
    let sentence = "'upper case, no dashes and braces are accepted, answered in lower case with dashes'";
    let forms = |id: &str| [id.to_uppercase(), id.replace('-', ""), format!("%7B{id}%7D")];
    for (i, form) in forms(&monitor).iter().enumerate() {
        let read = tenant.get(&format!("/monitors/{form}")).await;
        assert_eq!(text(read.data(sentence), "monitor_id"), monitor, "{sentence}");
        let job = server.start(&key.key, form).await.data(sentence)["job_id"].clone();
        let job = job.as_str().unwrap();
        assert!(job.len() == 36 && job.to_lowercase() == *job, "{sentence}: {job}");
        let finish = format!("/monitors/{form}/jobs/{}/finish", forms(job)[i]);
        let finished = server.with_key(&key.key, "POST", &finish, r#"{"succeeded":true}"#).await;
        assert_eq!(text(finished.data(sentence), "job_id"), job, "{sentence}");
        let read = tenant.get(&format!("/monitors/{form}/jobs/{}", forms(job)[i])).await;
        assert_eq!(text(read.data(sentence), "job_id"), job, "{sentence}");
    }
    for form in [config.to_uppercase(), config.replace('-', ""), format!("{{{config}}}")] {
        tenant.attach(&monitor, &[&form]).await.no_content(sentence);
        let path = format!("/monitors/{monitor}/alert-configs/{}", config.to_uppercase());
        tenant.delete(&path).await.no_content(sentence);
    }
    let unknown = new_id();
    let answer = tenant.get(&format!("/monitors/{}", unknown.to_uppercase())).await;
    answer.no_monitor(&unknown, sentence);
}

/// What is wrong is everything but the first thing; answers what is said of that.
async fn with_everything_wrong(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    server.send("POST", path, headers, Some(b"{".to_vec())).await
}

async fn the_route_is_checked_before_authentication(server: &Server) {
    let sentence = "'Order of checks: route, then auth'";
    for path in ["/monitors/x/y", "/key"] {
        with_everything_wrong(server, path, &[]).await.refused(404, "Not Found", sentence);
    }
}

async fn authentication_is_checked_before_the_ids_in_the_path(server: &Server) {
    let sentence = "'auth (401), then path UUIDs (422)'";
    for path in [
        "/monitors/x/alert-configs",
        "/alert-configs/x/test",
        "/monitors/x/jobs/start",
        "/monitors/x/jobs/y/finish",
    ] {
        with_everything_wrong(server, path, &[]).await.unauthenticated(sentence);
    }
    let bad = [("authorization", "Bearer x.y.z")];
    with_everything_wrong(server, "/monitors/x/alert-configs", &bad).await.unauthenticated(sentence);
    // A token opens neither start nor finish: they want a key.
    let tenant = server.tenant().await;
    let authorization = format!("Bearer {}", tenant.token);
    for path in ["/monitors/x/jobs/start", "/monitors/x/jobs/y/finish"] {
        let answer = with_everything_wrong(server, path, &[("authorization", &authorization)]).await;
        answer.unauthenticated("'X-API-Key header missing': 401 default body");
    }
}

async fn ids_in_the_path_are_checked_before_the_body(server: &Server) {
    let sentence = "'path UUIDs (422), then body (400/422)'";
    let tenant = server.tenant().await;
    tenant.send("PATCH", "/monitors/x", Some("{")).await.unusable(sentence);
    tenant.send("PATCH", "/alert-configs/x", Some("{")).await.unusable(sentence);
    tenant.send("POST", "/monitors/x/alert-configs", Some("{")).await.unusable(sentence);
    for path in ["/monitors/x/jobs/y/finish", "/monitors/x/jobs/start"] {
        with_everything_wrong(server, path, &[("x-api-key", "wrong")]).await.unusable(sentence);
    }
}

async fn the_body_is_checked_before_the_store(server: &Server) {
    let sentence = "'body (400/422), then store'";
    let tenant = server.tenant().await;
    let id = new_id();
    for path in [format!("/monitors/{id}"), format!("/alert-configs/{id}")] {
        tenant.send("PATCH", &path, Some("{")).await.refused(400, "Bad Request", sentence);
        tenant.send("PATCH", &path, Some("{}")).await.unusable(sentence);
    }
    let path = format!("/monitors/{id}/alert-configs");
    tenant.send("POST", &path, Some("{}")).await.unusable(sentence);
    let webhook =
        json!({ "name": "a", "active": true, "on_late": true, "on_error": true, "type": { "pager": {} } });
    let answer = tenant.patch(&format!("/alert-configs/{id}"), &webhook).await;
    answer.unusable("'type checked before existence'; ours: 422, not 500");
}

async fn the_body_is_checked_before_the_value_of_the_key(server: &Server) {
    let sentence = "'body (400/422), then API key value (401)'";
    let path = format!("/monitors/{}/jobs/{}/finish", new_id(), new_id());
    server.with_key("wrong", "POST", &path, "{").await.refused(400, "Bad Request", sentence);
    server.with_key("wrong", "POST", &path, "{}").await.unusable(sentence);
    server.with_key("", "POST", &path, "[true]").await.unusable(sentence);
}

async fn the_value_of_the_key_is_checked_before_the_store(server: &Server) {
    let sentence = "'API key value (401), then store'";
    let (monitor, job) = (new_id(), new_id());
    for key in ["wrong", "", &"x".repeat(32), &"x".repeat(5_000)] {
        server.start(key, &monitor).await.bad_key(sentence);
        server.finish(key, &monitor, &job, &json!({ "succeeded": true })).await.bad_key(sentence);
    }
}
