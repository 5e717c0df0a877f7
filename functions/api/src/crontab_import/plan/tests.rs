use super::super::TAG;
use super::*;
use chrono::{DateTime, Utc};
use domain::crontab::{Asked, Form, Ping};

const BASE: &str = "https://cronmon.example";

fn now() -> DateTime<Utc> {
    "2026-11-27T12:00:00Z".parse().unwrap()
}

fn read(text: &str) -> Crontab {
    let form = Form { announces: false, sends_output: false };
    let asked = Asked { has_users: None, form, zone: None, base_url: BASE.to_owned() };
    Crontab::read(text.to_owned(), asked, now()).unwrap()
}

fn planned(crontab: &Crontab, existing: &[Existing], tags: &[&str]) -> Plan {
    let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
    plan(crontab, super::super::expected(crontab, now()), existing, &tags, now())
}

/// As a monitor that was made by hand, with these tags.
fn existing(slug: &str, cron: &str, tags: &[&str]) -> Existing {
    Existing {
        monitor_id: Uuid::new_v4(),
        ping_id: Uuid::new_v4(),
        slug: slug.to_owned(),
        name: slug.to_owned(),
        tags: tags.iter().map(ToString::to_string).collect(),
        every_seconds: None,
        cron: Some(cron.to_owned()),
        timezone: None,
    }
}

fn shown(plan: &Plan) -> Vec<(&str, &str)> {
    plan.jobs.iter().map(|job| (job.slug.as_str(), job.outcome.name())).collect()
}

#[test]
fn a_name_that_comes_again_is_numbered() {
    let crontab = read("# a\n0 1 * * * x\n# a 2\n0 2 * * * x\n# a\n0 3 * * * x\n# a\n0 4 * * * x\n");
    let plan = planned(&crontab, &[], &[TAG]);
    let all = [("a", "created"), ("a-2", "created"), ("a-3", "created"), ("a-4", "created")];
    assert_eq!(shown(&plan), all);
}

#[test]
fn what_was_imported_follows_its_line_and_what_was_made_by_hand_does_not() {
    let crontab = read("# a\n0 1 * * * x\n# b\n0 1 * * * x\n# c\n0 1 * * * x\n# d\n@reboot x\n");
    let all = [
        existing("a", "0 1 * * *", &[TAG]),
        existing("b", "0 2 * * *", &[TAG]),
        existing("c", "0 2 * * *", &[]),
        existing("d", "0 2 * * *", &[TAG]),
        existing("e", "0 2 * * *", &[TAG]),
        existing("f", "0 2 * * *", &[TAG, "web1"]),
        existing("g", "0 2 * * *", &[]),
    ];
    let plan = planned(&crontab, &all, &[TAG]);
    assert_eq!(shown(&plan), [("a", "unchanged"), ("b", "changed"), ("c", "unchanged"), ("d", "changed")]);
    assert_eq!(
        plan.jobs.iter().map(|job| job.ping_id).collect::<Vec<_>>(),
        all.each_ref().map(|one| one.ping_id)[..4]
    );
    assert!(plan.jobs[2].why.as_ref().unwrap().contains("'c' was not made by an import"));
    assert_eq!(plan.gone.iter().map(|one| one.slug.as_str()).collect::<Vec<_>>(), ["e"]);
}

#[test]
fn a_line_that_pings_a_monitor_is_about_that_one_whatever_it_is_called() {
    let one = existing("a", "0 1 * * *", &[TAG]);
    let once = read("# a\n0 1 * * * x\n");
    let rewritten = once.written(&[Ping { id: one.ping_id, why: None }], &[], &[]).replace("# a", "# other");
    let line = rewritten.lines().last().unwrap();
    let crontab = read(&format!("# a\n0 1 * * * y\n{rewritten}{line}\n"));
    let plan = planned(&crontab, std::slice::from_ref(&one), &[TAG]);
    assert_eq!(shown(&plan), [("a-2", "created"), ("a", "changed"), ("x", "created")]);
    assert_eq!(plan.jobs[1].name, "other");
    assert_eq!(plan.jobs[1].outcome, Outcome::Changed { expects_otherwise: false });
}

#[test]
fn another_machine_s_monitors_are_left_to_it() {
    let crontab = read("# a\n0 1 * * * x\n");
    let all = [existing("a", "0 1 * * *", &[TAG, "web1"]), existing("a-2", "0 1 * * *", &["web2", TAG])];
    for (tags, slug) in [
        (&[TAG, "web1"] as &[&str], "a"),
        (&[TAG, "web2"], "a-2"),
        (&[TAG, "web3"], "a-3"),
        (&[TAG], "a"),
        (&[TAG, "web1", "web2"], "a"),
    ] {
        assert_eq!(planned(&crontab, &all, tags).jobs[0].slug, slug, "{tags:?}");
    }
}

/// So that the next machine is told from this one.
#[test]
fn a_monitor_gets_the_tags_of_the_import_that_it_lacks() {
    let crontab = read("# a\n0 1 * * * x\n");
    let many: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let many: Vec<&str> = [TAG].into_iter().chain(many.iter().map(String::as_str).take(19)).collect();
    for (had, tags, gets) in [
        (&[TAG] as &[&str], &[TAG, "web1"] as &[&str], true),
        (&[TAG, "web1"], &[TAG, "web1", "web2"], true),
        (&[TAG, "web1", "by-hand"], &[TAG, "web1"], false),
        (&[TAG, "web1"], &[TAG], false),
        (&[], &[TAG, "web1"], false),
        (&many, &[TAG], false),
    ] {
        let one = existing("a", "0 1 * * *", had);
        let plan = planned(&crontab, std::slice::from_ref(&one), tags);
        assert_eq!(shown(&plan), [("a", if gets { "changed" } else { "unchanged" })], "{had:?} {tags:?}");
        assert_eq!(plan.jobs[0].gets_tags, gets, "{had:?} {tags:?}");
    }
}

#[test]
fn a_line_that_moved_is_still_about_the_monitor_of_its_name() {
    let mut all = [existing("monitor", "0 1 * * *", &[TAG]), existing("monitor-2", "0 2 * * *", &[TAG])];
    for (one, name) in all.iter_mut().zip(["копия", "отчёт"]) {
        one.name = name.to_owned();
    }
    let crontab = read("# новая\n0 5 * * * x\n# отчёт\n0 2 * * * y\n# копия\n0 1 * * * z\n");
    let found = [("x", "created"), ("monitor-2", "unchanged"), ("monitor", "unchanged")];
    assert_eq!(shown(&planned(&crontab, &all, &[TAG])), found);
    // One that comes twice has its monitors in the order of their numbers.
    let all = ["a", "a-2", "a-10"]
        .map(|slug| Existing { name: "a".to_owned(), ..existing(slug, "0 1 * * *", &[TAG]) });
    let crontab = read(&"# a\n0 1 * * * x\n".repeat(4));
    let found = [("a", "unchanged"), ("a-2", "unchanged"), ("a-10", "unchanged"), ("a-3", "created")];
    assert_eq!(shown(&planned(&crontab, &all, &[TAG])), found);
}

#[test]
fn of_a_line_that_was_copied_the_one_with_its_name_keeps_the_monitor() {
    let one = existing("a", "0 1 * * *", &[TAG]);
    let rewritten = read("0 1 * * * x\n").written(&[Ping { id: one.ping_id, why: None }], &[], &[]);
    let line = rewritten.lines().last().unwrap();
    let crontab = read(&format!("# weekly\n{line}\n# a\n{line}\n"));
    let plan = planned(&crontab, std::slice::from_ref(&one), &[TAG]);
    assert_eq!(shown(&plan), [("weekly", "created"), ("a", "unchanged")]);
    assert!(plan.jobs[0].why.as_ref().unwrap().contains("as another line does"), "{:?}", plan.jobs[0].why);
}

#[test]
fn a_monitor_that_a_line_pings_by_itself_is_not_gone() {
    let all = ["a", "b"].map(|slug| existing(slug, "0 1 * * *", &[TAG]));
    let crontab = read(&format!("0 1 * * * x; curl {BASE}/ping/{}\n", all[0].ping_id));
    let gone = planned(&crontab, &all, &[TAG]).gone;
    assert_eq!(gone.iter().map(|one| one.slug.as_str()).collect::<Vec<_>>(), ["b"]);
    let many: Vec<Existing> = (0..1_500).map(|n| existing(&n.to_string(), "0 1 * * *", &[TAG])).collect();
    let plan = planned(&crontab, &many, &[TAG]);
    assert_eq!((plan.gone.len(), plan.more_gone), (1_000, 500));
}

#[test]
fn who_takes_a_monitor_by_its_name_and_changes_it_is_told() {
    let crontab = read("# a\n0 2 * * * x\n# b\n0 2 * * * x\n");
    let all = [existing("a", "0 1 * * *", &[TAG]), existing("b", "0 1 * * *", &[])];
    let plan = planned(&crontab, &all, &[TAG]);
    let whys: Vec<&str> = plan.jobs.iter().map(|job| job.why.as_deref().unwrap()).collect();
    assert!(whys[0].contains("expected '0 1 * * *' in UTC until now"), "{whys:?}");
    assert!(whys[1].ends_with("used as it is, and expects other times than the line"), "{whys:?}");
}

#[test]
fn a_zone_that_is_utc_need_not_be_given() {
    let mut one = existing("a", "0 1 * * *", &[TAG]);
    let crontab = read("CRON_TZ=UTC\n# a\n0 1 * * * x\n");
    assert_eq!(shown(&planned(&crontab, std::slice::from_ref(&one), &[TAG])), [("a", "unchanged")]);
    one.timezone = Some("Europe/Riga".into());
    assert_eq!(shown(&planned(&crontab, &[one], &[TAG])), [("a", "changed")]);
}

#[test]
fn a_zone_that_nobody_says_stays_what_it_was() {
    let mut one = existing("a", "0 1 * * *", &[TAG]);
    for (was, text, outcome, zone, warnings) in [
        (None, "", "unchanged", None, vec!["in UTC"]),
        (None, "TZ=Asia/Tokyo\n", "changed", Some("Asia/Tokyo"), vec!["below TZ"]),
        (None, "CRON_TZ=Asia/Tokyo\n", "changed", Some("Asia/Tokyo"), vec![]),
        (Some("Europe/Riga"), "", "unchanged", Some("Europe/Riga"), vec![]),
        (Some("Europe/Riga"), "TZ=Asia/Tokyo\n", "unchanged", Some("Europe/Riga"), vec![]),
        (Some("Asia/Tokyo"), "TZ=Asia/Tokyo\n", "unchanged", Some("Asia/Tokyo"), vec!["below TZ"]),
        (Some("Europe/Riga"), "CRON_TZ=Asia/Tokyo\n", "changed", Some("Asia/Tokyo"), vec![]),
    ] {
        one.timezone = was.map(str::to_owned);
        for (times, outcome) in [("0 1 * * *", outcome), ("0 2 * * *", "changed")] {
            let crontab = read(&format!("{text}# a\n{times} x\n"));
            let plan = planned(&crontab, std::slice::from_ref(&one), &[TAG]);
            assert_eq!(shown(&plan), [("a", outcome)], "{was:?} {text:?} {times}");
            let Schedule::Cron(cron) = &plan.expected[plan.jobs[0].schedule.unwrap()].schedule else {
                panic!("no cron expression")
            };
            assert_eq!(
                (cron.expression(), cron.zone().map(chrono_tz::Tz::name)),
                (times, zone),
                "{was:?} {text:?}"
            );
            assert_eq!(plan.warnings.len(), warnings.len(), "{was:?} {text:?}: {:?}", plan.warnings);
            assert!(plan.warnings.iter().zip(&warnings).all(|(warning, part)| warning.contains(part)));
        }
    }
}

#[test]
fn a_crontab_that_was_copied_to_another_machine_has_monitors_of_its_own() {
    let one = existing("a", "0 1 * * *", &[TAG, "web1"]);
    let rewritten = read("# a\n0 1 * * * x\n").written(&[Ping { id: one.ping_id, why: None }], &[], &[]);
    let crontab = read(&rewritten);
    for (tags, all) in [
        (&[TAG, "web1"] as &[&str], ("a", "unchanged")),
        (&[TAG, "web2"], ("a-2", "created")),
        (&[TAG], ("a", "unchanged")),
    ] {
        let plan = planned(&crontab, std::slice::from_ref(&one), tags);
        assert_eq!(shown(&plan), [all], "{tags:?}");
        assert_eq!(plan.jobs[0].why.is_some(), all.0 == "a-2", "{:?}", plan.jobs[0].why);
    }
}
