//! The same crontab once more, and one in which lines have changed.

use cronmon_tests::CronMon;
use cronmon_tests::contents::{contents, count};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fifty::FIFTY;
use crate::post::{import, import_in_detail, monitors, results, send_as, slugs, without_comments_of_ours};

const THREE: &str = "# first\n0 1 * * * echo a\n# second\n0 2 * * * echo b\n# third\n0 3 * * * echo c\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_was_removed_is_reported_and_its_monitor_kept() {
    let cronmon = CronMon::start().await;
    import(&cronmon, "", THREE).await;
    let before = monitors(&cronmon).await;
    let two = "# first\n0 1 * * * echo a\n# third\n0 3 * * * echo c\n";
    let data = import_in_detail(&cronmon, "", two).await;
    assert_eq!(results(&data), ["unchanged", "unchanged"]);
    let gone = &before[1];
    let named = json!([{ "monitor_id": gone["monitor_id"], "slug": "second", "name": "second" }]);
    assert_eq!(data["gone"], named);
    assert_eq!(monitors(&cronmon).await, before);

    let text = import(&cronmon, "", two).await;
    assert_eq!(data["crontab"], *text);
    let comment = text.lines().last().unwrap();
    assert!(comment.starts_with('#') && comment.contains("second"), "{text}");
    // The comment is no part of the crontab.
    assert_eq!(import(&cronmon, "", &text).await, text);
    let whole = import_in_detail(&cronmon, "", THREE).await;
    assert_eq!((results(&whole), &whole["gone"]), (vec!["unchanged"; 3], &json!([])));
    assert!(!import(&cronmon, "", THREE).await.lines().last().unwrap().starts_with('#'));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_is_never_gone() {
    let cronmon = CronMon::start().await;
    cronmon.create(json!({ "name": "by hand", "schedule": { "every": 60 }, "tags": ["web1"] })).await;
    import(&cronmon, "?tags=web1", THREE).await;
    import(&cronmon, "?tags=web2", "0 4 * * * echo d\n").await;
    for query in ["", "?tags=web3", "?tags=web1,web2"] {
        let data = import_in_detail(&cronmon, query, "# none\n").await;
        assert_eq!(data["gone"], json!([]), "{query}");
    }
    let data = import_in_detail(&cronmon, "?tags=web1", "# none\n").await;
    assert_eq!(slugs(data["gone"].as_array().unwrap()), ["first", "second", "third"]);
    assert_eq!(monitors(&cronmon).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_schedule_changes_the_same_monitor() {
    let cronmon = CronMon::start().await;
    let rewritten = import(&cronmon, "", THREE).await;
    let before = monitors(&cronmon).await;
    // In the original and in the rewritten one.
    for (crontab, times) in [(THREE, "30 2 * * 1"), (rewritten.as_str(), "45 2 * * 1")] {
        let changed = crontab.replace("0 2 * * *", times);
        assert_ne!(changed, crontab);
        let data = import_in_detail(&cronmon, "", &changed).await;
        assert_eq!(results(&data), ["unchanged", "changed", "unchanged"]);
        assert_eq!(data["gone"], json!([]));
        let after = monitors(&cronmon).await;
        assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
        assert_eq!(after[1]["schedule"], json!({ "cron": times, "timezone": "UTC" }));
        for field in ["monitor_id", "ping_url", "slug", "name", "armed", "created_at"] {
            assert_eq!(after[1][field], before[1][field], "{field}");
        }
        let text = data["crontab"].as_str().unwrap();
        let expected = rewritten.replace("0 2 * * *", times);
        assert_eq!(without_comments_of_ours(text), without_comments_of_ours(&expected));
        // Who takes over a monitor by its name alone may be another crontab.
        let is_told = text.contains("its monitor 'second' expected '0 2 * * *' in UTC until now");
        assert_eq!(is_told, crontab == THREE, "{text}");
    }
    // Another zone is another schedule.
    let data = import_in_detail(&cronmon, "?timezone=Europe/Riga", THREE).await;
    assert_eq!(results(&data), ["changed"; 3]);
    assert_eq!(
        monitors(&cronmon).await[1]["schedule"],
        json!({ "cron": "0 2 * * *", "timezone": "Europe/Riga" })
    );
    // Who says none then has not said that it is another one.
    let after = monitors(&cronmon).await;
    let data = import_in_detail(&cronmon, "", THREE).await;
    assert_eq!(results(&data), ["unchanged"; 3]);
    let warnings = data["warnings"].as_array().unwrap();
    assert!(warnings.len() == 1 && warnings[0].as_str().unwrap().starts_with("no tags were given"), "{data}");
    assert_eq!(data["lines"][1]["schedule"], after[1]["schedule"]);
    assert_eq!(monitors(&cronmon).await, after);
    let data = import_in_detail(&cronmon, "", THREE.replace("0 2 * * *", "0 5 * * *")).await;
    assert_eq!(results(&data), ["unchanged", "changed", "unchanged"]);
    let zoned = json!({ "cron": "0 5 * * *", "timezone": "Europe/Riga" });
    assert_eq!((&data["lines"][1]["schedule"], &monitors(&cronmon).await[1]["schedule"]), (&zoned, &zoned));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_by_hand_stays() {
    let cronmon = CronMon::start().await;
    import(&cronmon, "", THREE).await;
    let monitor = monitors(&cronmon).await[0].clone();
    let path = format!("/monitors/{}", monitor["monitor_id"].as_str().unwrap());
    let body =
        json!({ "name": "first", "expected_duration": 100, "grace_duration": 777, "failure_threshold": 3 });
    assert_eq!(cronmon.call(Method::PATCH, &path, Some(&body)).await.status, 200);
    let edited = cronmon.read(&monitor).await;
    let now = contents(&cronmon.pool).await;
    assert_eq!(results(&import_in_detail(&cronmon, "", THREE).await), ["unchanged"; 3]);
    assert_eq!(contents(&cronmon.pool).await, now);
    assert_eq!(cronmon.read(&monitor).await, edited);
    let data = import_in_detail(&cronmon, "", THREE.replace("0 1 *", "0 6 *")).await;
    assert_eq!(results(&data), ["changed", "unchanged", "unchanged"]);
    let after = cronmon.read(&monitor).await;
    for field in ["expected_duration", "grace_duration", "failure_threshold", "alert_on"] {
        assert_eq!(after[field], edited[field], "{field}");
    }
}

/// A comment names a job, so another comment is another job.
#[tokio::test(flavor = "multi_thread")]
async fn another_comment_is_another_monitor() {
    let cronmon = CronMon::start().await;
    import(&cronmon, "", THREE).await;
    let data = import_in_detail(&cronmon, "", THREE.replace("# second", "# another")).await;
    assert_eq!(results(&data), ["unchanged", "created", "unchanged"]);
    assert_eq!(slugs(data["gone"].as_array().unwrap()), ["second"]);
    assert_eq!(slugs(&monitors(&cronmon).await), ["another", "first", "second", "third"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_line_between_others_leaves_them_theirs() {
    let cronmon = CronMon::start().await;
    let rewritten = import(&cronmon, "", FIFTY).await;
    let before = monitors(&cronmon).await;
    for crontab in [FIFTY, &rewritten] {
        let more = crontab.replace("# stamp the year", "# one more\n0 0 * * * echo more\n# stamp the year");
        let data = import_in_detail(&cronmon, "?dry_run=1", more).await;
        assert_eq!(results(&data).iter().filter(|result| **result == "created").count(), 1);
        assert_eq!(results(&data).iter().filter(|result| **result == "unchanged").count(), 50);
    }
    assert_eq!(monitors(&cronmon).await, before);
}

/// Whoever edits a rewritten crontab edits what was rewritten.
#[tokio::test(flavor = "multi_thread")]
async fn another_command_in_a_rewritten_line_is_the_same_monitor_if_a_comment_names_it() {
    let cronmon = CronMon::start().await;
    let rewritten = import(&cronmon, "", THREE).await;
    let before = monitors(&cronmon).await;
    let edited = rewritten.replace("echo b", "echo \"b and more\"");
    assert_ne!(edited, rewritten);
    assert_eq!(import(&cronmon, "", &edited).await, edited);
    assert_eq!(monitors(&cronmon).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_crontab_can_change_its_style() {
    let cronmon = CronMon::start().await;
    let queries = ["", "?style=short", "?output=1", "?style=short&output=1"];
    let mut texts = Vec::new();
    for query in queries {
        texts.push(import(&cronmon, query, FIFTY).await);
    }
    let now = contents(&cronmon.pool).await;
    for from in &texts {
        for (query, to) in queries.iter().zip(&texts) {
            assert_eq!(import(&cronmon, query, from).await, *to, "{query}");
        }
    }
    assert_eq!(contents(&cronmon.pool).await, now);
}

/// As when a machine is set up from another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_crontab_on_another_machine_has_monitors_of_its_own() {
    let cronmon = CronMon::start().await;
    let first = import(&cronmon, "?tags=web1", THREE).await;
    let before = monitors(&cronmon).await;
    let data = import_in_detail(&cronmon, "?tags=web2", first.replace("0 2 *", "0 4 *")).await;
    assert_eq!(results(&data), ["created"; 3]);
    let second = data["crontab"].as_str().unwrap();
    assert_eq!(slugs(data["lines"].as_array().unwrap()), ["first-2", "second-2", "third-2"]);
    let all = monitors(&cronmon).await;
    for monitor in &before {
        assert!(all.contains(monitor), "{monitor}");
        assert!(!second.contains(monitor["ping_url"].as_str().unwrap()), "{second}");
    }
    assert_eq!(import(&cronmon, "?tags=web1", &first).await, first);
    assert!(
        second.contains("it pinged the monitor 'second', which has other tags than this import"),
        "{second}"
    );
    let again = import(&cronmon, "?tags=web2", second).await;
    assert_eq!(without_comments_of_ours(&again), without_comments_of_ours(second));
    assert!(!again.contains("it pinged"), "{again}");
}

/// Tags that come later keep the next machine apart too.
#[tokio::test(flavor = "multi_thread")]
async fn a_crontab_that_gets_tags_gives_them_to_its_monitors() {
    let cronmon = CronMon::start().await;
    import(&cronmon, "", THREE).await;
    let before = monitors(&cronmon).await;
    let data = import_in_detail(&cronmon, "?tags=web1,db", THREE).await;
    assert_eq!((results(&data), &data["gone"]), (vec!["changed"; 3], &json!([])));
    for (before, after) in before.iter().zip(monitors(&cronmon).await) {
        assert_eq!(after["tags"], json!(["crontab", "web1", "db"]));
        for field in ["monitor_id", "schedule", "next_expected_at", "due_at", "status"] {
            assert_eq!(after[field], before[field], "{field}");
        }
    }
    assert_eq!(results(&import_in_detail(&cronmon, "?tags=web1,db", THREE).await), ["unchanged"; 3]);
    let data = import_in_detail(&cronmon, "?tags=web2", THREE).await;
    assert_eq!(slugs(data["lines"].as_array().unwrap()), ["first-2", "second-2", "third-2"]);
}

/// The commonest edit of a rewritten line.
#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_line_into_which_more_was_put_is_left_and_its_monitor_not_gone() {
    let cronmon = CronMon::start().await;
    let rewritten = import(&cronmon, "", THREE).await;
    let before = monitors(&cronmon).await;
    for (from, to) in [("( echo b )", "( echo b ) && ( echo more )"), ("exit $s\n", "exit $s >> log 2>&1\n")]
    {
        let edited = rewritten.replace(from, to);
        let data = import_in_detail(&cronmon, "", &edited).await;
        assert!(results(&data).contains(&"skipped"), "{data}");
        assert_eq!(data["gone"], json!([]), "{data}");
        let text = data["crontab"].as_str().unwrap();
        assert_eq!(without_comments_of_ours(text), without_comments_of_ours(&edited));
    }
    assert_eq!(monitors(&cronmon).await, before);
}

/// A ping URL that opens nothing here is a part of the command like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_crontab_of_another_tenant_touches_nothing_of_his() {
    let cronmon = CronMon::start().await;
    let rewritten = import(&cronmon, "", THREE).await;
    let before = monitors(&cronmon).await;
    let reply = send_as(&cronmon, "other", "application/json", "", &rewritten).await;
    assert_eq!(reply.status, 200);
    let answer: Value = serde_json::from_str(&reply.text).unwrap();
    let theirs: Vec<&Value> = before.iter().map(|monitor| &monitor["monitor_id"]).collect();
    for line in answer["data"]["lines"].as_array().unwrap() {
        assert!(!theirs.contains(&&line["monitor_id"]), "{line}");
    }
    assert_eq!(monitors(&cronmon).await, before);
    assert_eq!(import(&cronmon, "", THREE).await, rewritten);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_that_was_made_by_hand_is_used_as_it_is_and_that_is_said() {
    let cronmon = CronMon::start().await;
    let by_hand = cronmon.create(json!({ "name": "second", "schedule": { "every": 60 } })).await;
    let data = import_in_detail(&cronmon, "", THREE).await;
    assert_eq!(results(&data), ["created", "unchanged", "created"]);
    assert_eq!(data["lines"][1]["schedule"], json!({ "every": 60 }));
    let why = "the monitor 'second' was not made by an import: it is used as it is, and expects other times than the line";
    assert_eq!(data["lines"][1]["why"], why);
    let text = data["crontab"].as_str().unwrap();
    assert!(text.contains(&format!("# cronmon: {why}\n# second\n")), "{text}");
    let after = cronmon.read(&by_hand).await;
    for field in ["ping_url", "schedule", "tags", "armed", "due_at"] {
        assert_eq!(after[field], by_hand[field], "{field}");
    }
    assert_eq!(import(&cronmon, "", text).await, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_make_each_monitor_once() {
    let cronmon = CronMon::start().await;
    let lines: Vec<&str> = THREE.split_inclusive('\n').collect();
    let backwards: String = lines.chunks(2).rev().flatten().copied().collect();
    let fifty = format!("{FIFTY}\nCRON_TZ=UTC\n{THREE}");
    let fifty_too = format!("{backwards}\n{FIFTY}");
    let send = |crontab: &str| {
        let (cronmon, crontab) = (&cronmon, crontab.to_owned());
        async move { send_as(cronmon, "acme", "*/*", "", crontab).await }
    };
    let (a, b) = (&fifty, &fifty_too);
    let replies = tokio::join!(send(a), send(b), send(a), send(b), send(a), send(b), send(a), send(b));
    let replies = [replies.0, replies.1, replies.2, replies.3, replies.4, replies.5, replies.6, replies.7];
    for (index, reply) in replies.iter().enumerate() {
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.text, replies[index % 2].text, "{index}");
    }
    assert_eq!(count(&cronmon.pool, "select count(*) from monitor").await, 53);
}
