//! §3, faults of the original: each that can be seen from outside, done better. 4, 5, 6, 10, 14 to 18 have their cases
//! where the thing itself is tested.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::server::{Server, Tenant, each, slack_config, text};
use cronmon_tests::slack::Slack;

crate::chapter!(
    fault_1_switches_are_used,
    fault_2_a_broken_channel_repeats_nothing_to_the_others,
    fault_3_a_change_made_while_slack_is_called_stays,
    fault_3_a_ping_makes_no_second_alert,
    fault_7_names_and_outputs_of_any_length_are_told,
    fault_8_output_can_not_break_out_of_its_code_span,
    fault_8_a_name_can_not_ping_a_channel,
    fault_9_a_job_that_finished_late_is_not_said_to_run,
    fault_11_a_job_without_a_verdict_stops_nobody,
    fault_11_a_broken_channel_of_one_tenant_stops_no_other,
    fault_13_a_change_of_a_config_keeps_associations_made_meanwhile,
    fault_25_answers_do_not_grow_without_bound,
    fault_26_one_slow_channel_holds_up_no_other,
);

struct World {
    monitor: String,
    key: String,
}

async fn world(tenant: &Tenant<'_>, name: &str, expected: i64) -> World {
    World { monitor: tenant.monitor(name, expected, 0).await, key: tenant.key().await.key }
}

impl World {
    /// A channel that hears of it.
    async fn channel(&self, tenant: &Tenant<'_>, switches: Value) -> String {
        let channel = Slack::channel();
        let config = tenant.slack(&channel, &switches).await;
        tenant.attach(&self.monitor, &[&config]).await.no_content("it is attached");
        channel
    }
}

fn as_the_original() -> Value {
    json!({ "on_recovered": false })
}

async fn fault_1_switches_are_used(server: &Server) {
    let tenant = server.tenant().await;
    let world = world(&tenant, "nightly", 0).await;
    let all = world.channel(&tenant, as_the_original()).await;
    let inactive = world.channel(&tenant, json!({ "active": false })).await;
    let late = world.channel(&tenant, json!({ "on_error": false, "on_recovered": false })).await;
    let failed = world.channel(&tenant, json!({ "on_late": false, "on_recovered": false })).await;
    server.finished(&world.key, &world.monitor, &json!({ "succeeded": false })).await;
    server.until("both alerts", || server.slack.heard(&all).len() == 2).await;
    server.until("the late one", || server.slack.heard(&late).len() == 1).await;
    server.until("the failed one", || server.slack.heard(&failed).len() == 1).await;
    server.wait_for_nothing().await;
    assert_eq!(server.slack.texts_in(&all), ["Late 'nightly' job", "Failed 'nightly' job"]);
    assert_eq!(server.slack.texts_in(&inactive), Vec::<String>::new(), "fault 1: `active` is used");
    assert_eq!(server.slack.texts_in(&late), ["Late 'nightly' job"], "fault 1: `on_error` is used");
    assert_eq!(server.slack.texts_in(&failed), ["Failed 'nightly' job"], "fault 1: `on_late` is used");
}

async fn fault_2_a_broken_channel_repeats_nothing_to_the_others(server: &Server) {
    let tenant = server.tenant().await;
    let world = world(&tenant, "nightly", 3_600).await;
    let broken = world.channel(&tenant, as_the_original()).await;
    let down = world.channel(&tenant, as_the_original()).await;
    let good = world.channel(&tenant, as_the_original()).await;
    server.slack.refuse(&broken);
    server.slack.answer(&down, 503, json!({}), Duration::ZERO);
    server.finished(&world.key, &world.monitor, &json!({ "succeeded": false })).await;
    server.until("the good channel hears", || !server.slack.heard(&good).is_empty()).await;
    server.until("the broken one is tried", || !server.slack.heard(&broken).is_empty()).await;
    for _ in 0..3 {
        server.wait_for_nothing().await;
    }
    assert_eq!(
        server.slack.texts_in(&good),
        ["Failed 'nightly' job"],
        "fault 2: the good channel hears it once"
    );
    assert_eq!(server.slack.heard(&broken).len(), 1, "what is refused for good is not sent again and again");
}

async fn fault_3_a_change_made_while_slack_is_called_stays(server: &Server) {
    let tenant = server.tenant().await;
    let world = world(&tenant, "nightly", 3_600).await;
    let channel = world.channel(&tenant, as_the_original()).await;
    server.slack.answer(&channel, 200, json!({ "ok": true }), Duration::from_secs(1));
    server.finished(&world.key, &world.monitor, &json!({ "succeeded": false })).await;
    let changing = async {
        while server.slack.heard(&channel).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let body = json!({ "name": "changed", "expected_duration": 7, "grace_duration": 8 });
        tenant.patch(&format!("/monitors/{}", world.monitor), &body).await.data("it is changed meanwhile");
        // Until Slack has answered, and what comes of it is written down.
        tokio::time::sleep(Duration::from_millis(1_300)).await;
    };
    join(server.until("the call", || !server.slack.heard(&channel).is_empty()), changing).await;
    server.wait_for_nothing().await;
    let read = tenant.read_monitor(&world.monitor).await;
    let now = (&read["name"], &read["expected_duration"], &read["grace_duration"]);
    assert_eq!(now, (&json!("changed"), &json!(7), &json!(8)), "fault 3: no save undoes a PATCH");
    assert_eq!(server.slack.heard(&channel).len(), 1, "and nothing is told twice");
}

async fn fault_3_a_ping_makes_no_second_alert(server: &Server) {
    let tenant = server.tenant().await;
    let world = world(&tenant, "nightly", 0).await;
    let channel = world.channel(&tenant, as_the_original()).await;
    server.slack.answer(&channel, 200, json!({ "ok": true }), Duration::from_millis(700));
    let job = server.started(&world.key, &world.monitor).await;
    let ending = async {
        while server.slack.heard(&channel).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server.finish(&world.key, &world.monitor, &job, &json!({ "succeeded": true })).await.data("it ends");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    join(server.until("the call", || !server.slack.heard(&channel).is_empty()), ending).await;
    server.wait_for_nothing().await;
    assert_eq!(
        server.slack.texts_in(&channel),
        ["Late 'nightly' job"],
        "fault 3: a ping makes no second alert"
    );
}

async fn fault_7_names_and_outputs_of_any_length_are_told(server: &Server) {
    let tenant = server.tenant().await;
    for (letter, count) in [("x", 4_096), ("ü", 200), ("<", 150), ("🦀", 149)] {
        let name = letter.repeat(count);
        let world = world(&tenant, &name, 0).await;
        let channel = world.channel(&tenant, as_the_original()).await;
        let output = letter.repeat(40_000);
        server.finished(&world.key, &world.monitor, &json!({ "succeeded": false, "output": output })).await;
        server.until("both alerts", || server.slack.heard(&channel).len() == 2).await;
        for posted in server.slack.heard(&channel) {
            for block in posted.message["blocks"].as_array().unwrap() {
                let most = if block["type"] == "header" { 150 } else { 3_000 };
                let said = text(&block["text"], "text");
                // Counted as Slack does at worst: in UTF-16.
                let length = said.encode_utf16().count();
                assert!(length <= most, "fault 7: a {} of {length} characters", block["type"]);
                assert!(!said.is_empty(), "fault 7: no block is empty");
            }
        }
    }
}

async fn fault_8_output_can_not_break_out_of_its_code_span(server: &Server) {
    let tenant = server.tenant().await;
    let world = world(&tenant, "nightly", 3_600).await;
    let channel = world.channel(&tenant, as_the_original()).await;
    for (i, output) in
        ["`<!channel>` and *more*", "a\n```\n<!here>\n```", "<https://example.com|click> & <@U123>", "`"]
            .iter()
            .enumerate()
    {
        server.finished(&world.key, &world.monitor, &json!({ "succeeded": false, "output": output })).await;
        server.until("the alert", || server.slack.heard(&channel).len() > i).await;
        let message = server.slack.heard(&channel)[i].message.clone();
        let block = message["blocks"][2]["text"].clone();
        let said = text(&block, "text");
        let span = said.strip_prefix("Job output: `").and_then(|rest| rest.strip_suffix('`'));
        let span = span.unwrap_or_else(|| panic!("Job output: `OUTPUT`: {said}"));
        assert!(!span.contains('`'), "fault 8: backticks do not end the code span: {said}");
        assert!(!span.contains(['<', '>']), "fault 8: `<!channel>` is escaped: {said}");
    }
}

async fn fault_8_a_name_can_not_ping_a_channel(server: &Server) {
    let tenant = server.tenant().await;
    let world = world(&tenant, "<!channel> & `co`", 3_600).await;
    let channel = world.channel(&tenant, as_the_original()).await;
    server.finished(&world.key, &world.monitor, &json!({ "succeeded": false })).await;
    server.until("the alert", || !server.slack.heard(&channel).is_empty()).await;
    let message = server.slack.heard(&channel)[0].message.clone();
    // `text` is mrkdwn to Slack, a header is not.
    let said = text(&message, "text");
    assert!(!said.contains("<!channel>"), "fault 8: a name is escaped: {said}");
}

async fn fault_9_a_job_that_finished_late_is_not_said_to_run(server: &Server) {
    let tenant = server.tenant().await;
    let world = world(&tenant, "nightly", 0).await;
    let channel = world.channel(&tenant, as_the_original()).await;
    server.finished(&world.key, &world.monitor, &json!({ "succeeded": true })).await;
    server.until("the alert", || !server.slack.heard(&channel).is_empty()).await;
    let message = server.slack.heard(&channel)[0].message.to_string();
    assert!(message.contains("Late 'nightly' job"), "{message}");
    assert!(!message.contains("hasn't reported"), "fault 9: it has finished meanwhile: {message}");
}

async fn fault_11_a_job_without_a_verdict_stops_nobody(server: &Server) {
    let (tenant, other) = (server.tenant().await, server.tenant().await);
    let abandoned = world(&tenant, "abandoned", 0).await;
    server.started(&abandoned.key, &abandoned.monitor).await;
    let path = format!("/monitors/{}/pause", abandoned.monitor);
    tenant.send("POST", &path, None).await.data("its job has an end and no verdict now");
    let world = world(&other, "nightly", 0).await;
    let channel = world.channel(&other, as_the_original()).await;
    server.started(&world.key, &world.monitor).await;
    server.until("fault 11: other tenants are told", || !server.slack.heard(&channel).is_empty()).await;
}

async fn fault_11_a_broken_channel_of_one_tenant_stops_no_other(server: &Server) {
    let (tenant, other) = (server.tenant().await, server.tenant().await);
    let broken = world(&tenant, "broken", 3_600).await;
    let broken_channel = broken.channel(&tenant, as_the_original()).await;
    server.slack.answer(&broken_channel, 500, json!("nonsense"), Duration::ZERO);
    let world = world(&other, "nightly", 3_600).await;
    let channel = world.channel(&other, as_the_original()).await;
    for _ in 0..3 {
        server.finished(&broken.key, &broken.monitor, &json!({ "succeeded": false })).await;
        server.finished(&world.key, &world.monitor, &json!({ "succeeded": false })).await;
    }
    server.until("the others are told", || server.slack.heard(&channel).len() == 3).await;
}

async fn fault_13_a_change_of_a_config_keeps_associations_made_meanwhile(server: &Server) {
    let tenant = server.tenant().await;
    let config = tenant.slack("C1", &json!({})).await;
    let path = format!("/alert-configs/{config}");
    let body = slack_config("changed", "C2");
    let mut monitors = Vec::new();
    for round in 0..8 {
        let mut more = Vec::new();
        for i in 0..12 {
            more.push(tenant.monitor(&format!("{round} {i}"), 1, 1).await);
        }
        let changes = join_all((0..12).map(|_| tenant.patch(&path, &body)));
        let attached = join_all(more.iter().map(|monitor| {
            let (tenant, config) = (&tenant, config.as_str());
            async move { tenant.attach(monitor, &[config]).await }
        }));
        let (changes, attached) = join(changes, attached).await;
        for answer in &changes {
            answer.data("it is changed, whoever else changes it");
        }
        attached.iter().for_each(|answer| answer.no_content("it is attached"));
        monitors.extend(more);
    }
    let read = tenant.get(&path).await;
    let mut found = each(&read.data("it is read")["monitors"], "monitor_id");
    found.sort_unstable();
    monitors.sort();
    assert_eq!(found, monitors, "fault 13: no association is lost");
}

async fn fault_25_answers_do_not_grow_without_bound(server: &Server) {
    let tenant = server.tenant().await;
    let world = world(&tenant, "nightly", 3_600).await;
    let output = "x".repeat(20_000);
    for _ in 0..105 {
        server.finished(&world.key, &world.monitor, &json!({ "succeeded": true, "output": output })).await;
    }
    let read = tenant.get(&format!("/monitors/{}", world.monitor)).await;
    assert_eq!(read.data("GET /monitors/{m}")["jobs"].as_array().map(Vec::len), Some(100));
    assert!(read.text.len() < 1_200_000, "fault 25: {} bytes", read.text.len());
    let list = tenant.get("/monitors").await;
    assert!(list.text.len() < 10_000, "fault 25: {} bytes of a monitor in the list", list.text.len());
}

async fn fault_26_one_slow_channel_holds_up_no_other(server: &Server) {
    // A function that the queue starts holds the others of its batch; there are more functions then.
    if server.stack().is_some() {
        return;
    }
    let (tenant, other) = (server.tenant().await, server.tenant().await);
    let slow = world(&tenant, "slow", 3_600).await;
    let slow_channel = slow.channel(&tenant, as_the_original()).await;
    server.slack.answer(&slow_channel, 200, json!({ "ok": true }), Duration::from_secs(5));
    let world = world(&other, "nightly", 3_600).await;
    let channel = world.channel(&other, as_the_original()).await;
    server.finished(&slow.key, &slow.monitor, &json!({ "succeeded": false })).await;
    server.until("the slow call", || !server.slack.heard(&slow_channel).is_empty()).await;
    let began = Instant::now();
    server.finished(&world.key, &world.monitor, &json!({ "succeeded": false })).await;
    server.until("the other alert", || !server.slack.heard(&channel).is_empty()).await;
    assert!(began.elapsed() < Duration::from_secs(3), "'all sends are sequential': {:?}", began.elapsed());
}
