//! §1, which alert configs a monitor has.

use futures_util::future::join_all;
use serde_json::json;

use crate::server::{Server, Tenant, each, has, new_id};

crate::chapter!(
    what_is_attached_is_listed,
    nothing_to_attach_is_204,
    what_is_missing_is_404_and_nothing_is_attached,
    what_is_attached_already_is_500_and_nothing_is_attached,
    what_is_missing_is_said_before_what_is_double,
    one_id_twice_attaches_nothing_twice,
    what_is_detached_is_gone,
    what_is_not_attached_is_500,
    an_unknown_monitor_is_404,
    of_many_at_once_one_attaches,
);

async fn configs<const N: usize>(tenant: &Tenant<'_>) -> [String; N] {
    let made = join_all((0..N).map(|_| async { tenant.slack("C1", &json!({})).await })).await;
    made.try_into().unwrap()
}

async fn attached(tenant: &Tenant<'_>, monitor: &str) -> Vec<String> {
    let list = tenant.get(&format!("/monitors/{monitor}/alert-configs")).await;
    let ids = each(list.data("GET /monitors/{m}/alert-configs"), "alert_config_id");
    assert_eq!(list.body["paging"]["total"], ids.len(), "summaries + paging: {list}");
    ids.into_iter().map(ToOwned::to_owned).collect()
}

fn already(monitor: &str, configs: &[&str]) -> String {
    let each: Vec<String> = configs
        .iter()
        .map(|a| {
            format!(
                "{a}: Failed to configure alert: Monitor('{monitor}') is already associated with Alert Configuration('{a}')"
            )
        })
        .collect();
    format!("Failed to configure alert: Failed to associate Monitor with AlertConfig(s): {}", each.join(", "))
}

async fn what_is_attached_is_listed(server: &Server) {
    let tenant = server.tenant().await;
    let monitor = tenant.monitor("a", 1, 1).await;
    assert_eq!(attached(&tenant, &monitor).await, Vec::<String>::new());
    let [first, second, third] = configs(&tenant).await;
    tenant.attach(&monitor, &[&second, &first]).await.no_content("POST /monitors/{m}/alert-configs: 204");
    let mut ids = vec![first.clone(), second.clone()];
    ids.sort();
    assert_eq!(attached(&tenant, &monitor).await, ids, "both are attached");
    let list = tenant.get(&format!("/monitors/{monitor}/alert-configs")).await;
    has(
        &list.data("GET /monitors/{m}/alert-configs")[0],
        &json!({ "active": true, "monitors": 1, "name": "to Slack", "on_error": true, "on_late": true, "type": "slack" }),
        "GET /monitors/{m}/alert-configs: summaries",
    );
    tenant.attach(&monitor, &[&third]).await.no_content("one more");
    assert_eq!(attached(&tenant, &monitor).await.len(), 3, "one more is attached beside the others");
}

async fn nothing_to_attach_is_204(server: &Server) {
    let tenant = server.tenant().await;
    let monitor = tenant.monitor("a", 1, 1).await;
    tenant.attach(&monitor, &[]).await.no_content("'[] is a no-op 204'");
    assert_eq!(attached(&tenant, &monitor).await, Vec::<String>::new(), "'[] is a no-op 204'");
}

async fn what_is_missing_is_404_and_nothing_is_attached(server: &Server) {
    let tenant = server.tenant().await;
    let monitor = tenant.monitor("a", 1, 1).await;
    let [config] = configs(&tenant).await;
    let (b, a) = (new_id(), new_id());
    tenant.attach(&monitor, &[&config, &a]).await.no_config(&a, "404 (one missing)");
    for [x, y] in [[&a, &b], [&b, &a]] {
        let answer = tenant.attach(&monitor, &[x, &config, y]).await;
        let description = format!("Failed to find alert configurations with ids '[{x}, {y}]'");
        let sentence = "404 'only the missing ones, in order of the request'";
        answer.error(404, "Alert Configuration Not Found", &description, sentence);
    }
    assert_eq!(attached(&tenant, &monitor).await, Vec::<String>::new(), "'any missing = 404, nothing saved'");
}

async fn what_is_attached_already_is_500_and_nothing_is_attached(server: &Server) {
    let tenant = server.tenant().await;
    let monitor = tenant.monitor("a", 1, 1).await;
    let [first, second, third] = configs(&tenant).await;
    tenant.attach(&monitor, &[&first, &second]).await.no_content("they are attached");
    let sentence = "500 Alert Configuration Error, already associated";
    let answer = tenant.attach(&monitor, &[&third, &first]).await;
    answer.error(500, "Alert Configuration Error", &already(&monitor, &[&first]), sentence);
    let answer = tenant.attach(&monitor, &[&second, &third, &first]).await;
    let descriptions = [already(&monitor, &[&second, &first]), already(&monitor, &[&first, &second])];
    answer.refused(500, "Alert Configuration Error", sentence);
    let description = answer.body["error"]["description"].as_str().unwrap();
    assert!(descriptions.iter().any(|one| one == description), "{sentence}: {description}");
    assert!(!attached(&tenant, &monitor).await.contains(&third), "'any duplicate = 500, nothing saved'");
}

async fn what_is_missing_is_said_before_what_is_double(server: &Server) {
    let tenant = server.tenant().await;
    let monitor = tenant.monitor("a", 1, 1).await;
    let [config] = configs(&tenant).await;
    tenant.attach(&monitor, &[&config]).await.no_content("it is attached");
    let missing = new_id();
    let answer = tenant.attach(&monitor, &[&config, &missing]).await;
    answer.no_config(&missing, "'any missing = 404, any duplicate = 500'");
}

async fn one_id_twice_attaches_nothing_twice(server: &Server) {
    let tenant = server.tenant().await;
    let monitor = tenant.monitor("a", 1, 1).await;
    let [config] = configs(&tenant).await;
    let answer = tenant.attach(&monitor, &[&config, &config]).await;
    assert!(matches!(answer.status, 204 | 500), "once or not at all: {answer}");
    assert!(attached(&tenant, &monitor).await.len() <= 1, "once or not at all");
}

async fn what_is_detached_is_gone(server: &Server) {
    let tenant = server.tenant().await;
    let monitor = tenant.monitor("a", 1, 1).await;
    let [first, second] = configs(&tenant).await;
    tenant.attach(&monitor, &[&first, &second]).await.no_content("they are attached");
    let path = format!("/monitors/{monitor}/alert-configs/{first}");
    tenant.delete(&path).await.no_content("DELETE /monitors/{m}/alert-configs/{a}: 204");
    assert_eq!(attached(&tenant, &monitor).await, [second], "that one is detached");
    let config = tenant.get(&format!("/alert-configs/{first}")).await;
    assert_eq!(config.data("the config is left")["monitors"], json!([]), "the config has no monitor");
    tenant.attach(&monitor, &[&first]).await.no_content("it can be attached again");
}

async fn what_is_not_attached_is_500(server: &Server) {
    let tenant = server.tenant().await;
    let (monitor, other) = (tenant.monitor("a", 1, 1).await, tenant.monitor("b", 1, 1).await);
    let [config] = configs(&tenant).await;
    tenant.attach(&other, &[&config]).await.no_content("attached to another monitor");
    let answer = tenant.delete(&format!("/monitors/{monitor}/alert-configs/{config}")).await;
    let description = format!(
        "Failed to configure alert: Monitor('{monitor}') is not associated with Alert Configuration('{config}')"
    );
    let sentence = "500 Alert Configuration Error, is not associated";
    answer.error(500, "Alert Configuration Error", &description, sentence);
    assert_eq!(attached(&tenant, &other).await, [config], "the other monitor keeps it");
    let unknown = new_id();
    let answer = tenant.delete(&format!("/monitors/{monitor}/alert-configs/{unknown}")).await;
    answer.no_config(&unknown, "DELETE: 404 Alert");
}

async fn an_unknown_monitor_is_404(server: &Server) {
    let tenant = server.tenant().await;
    let [config] = configs(&tenant).await;
    let id = new_id();
    let path = format!("/monitors/{id}/alert-configs");
    tenant.get(&path).await.no_monitor(&id, "GET: 404 Monitor");
    tenant.attach(&id, &[&config]).await.no_monitor(&id, "POST: 404 Monitor");
    tenant.attach(&id, &[&new_id()]).await.no_monitor(&id, "POST: 404 Monitor before 404 Alert");
    tenant.delete(&format!("{path}/{config}")).await.no_monitor(&id, "DELETE: 404 Monitor");
    tenant
        .delete(&format!("{path}/{}", new_id()))
        .await
        .no_monitor(&id, "DELETE: 404 Monitor before 404 Alert");
}

async fn of_many_at_once_one_attaches(server: &Server) {
    let tenant = server.tenant().await;
    let monitor = tenant.monitor("a", 1, 1).await;
    let [first, second] = configs(&tenant).await;
    // In opposite orders, so that they could wait for each other for ever.
    let orders = [[first.as_str(), &second], [second.as_str(), &first]];
    let answers = join_all((0..8).map(|i| {
        let (tenant, monitor, order) = (&tenant, &monitor, orders[i % 2]);
        async move { tenant.attach(monitor, &order).await }
    }))
    .await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "one attaches: {statuses:?}");
    assert_eq!(
        statuses.iter().filter(|status| **status == 500).count(),
        7,
        "the others are told: {statuses:?}"
    );
    let read = tenant.get(&format!("/alert-configs/{first}")).await;
    assert_eq!(read.data("the config")["monitors"].as_array().map(Vec::len), Some(1), "it is attached once");
}
