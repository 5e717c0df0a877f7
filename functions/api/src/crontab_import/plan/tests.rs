use std::collections::HashSet;

use database::schedules::ScheduleColumns;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

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
        grace_duration: 777,
    }
}

fn shown(plan: &Plan) -> Vec<(&str, &str)> {
    plan.jobs.iter().map(|job| (job.slug.as_str(), job.outcome.name())).collect()
}

/// The monitors once it is saved.
fn saved(crontab: &Crontab, plan: &Plan, existing: &[Existing], tags: &[&str]) -> Vec<Existing> {
    let mut all = existing.to_vec();
    for (job, planned) in crontab.jobs.iter().zip(&plan.jobs) {
        let place = all.iter().position(|one| one.monitor_id == planned.monitor_id).unwrap_or_else(|| {
            all.push(Existing {
                monitor_id: planned.monitor_id,
                ping_id: planned.ping_id,
                cron: None,
                ..self::existing(&planned.slug, "", &[])
            });
            all.len() - 1
        });
        let one = &mut all[place];
        if planned.outcome != Outcome::Unchanged {
            one.name.clone_from(&job.name);
        }
        if planned.expects_otherwise() {
            let columns = planned.schedule.map(|place| ScheduleColumns::from(&plan.expected[place].schedule));
            one.cron = columns.as_ref().and_then(|columns| columns.cron.map(str::to_owned));
            one.timezone = columns.and_then(|columns| columns.timezone.map(str::to_owned));
        }
        if planned.outcome == Outcome::Created || planned.gets_tags {
            let lacking = tags.iter().filter(|tag| !one.tags.iter().any(|had| had == *tag));
            let lacking: Vec<String> = lacking.map(ToString::to_string).collect();
            one.tags.extend(lacking);
        }
    }
    all
}

/// Of random lines with few names, some of which leave no slug, beside monitors that were there already.
#[test]
fn the_same_file_again_is_about_the_same_monitors_and_changes_nothing() {
    let mut random = StdRng::seed_from_u64(1);
    let mut pick = |from: &[&'static str]| *from.choose(&mut random).unwrap();
    for _ in 0..2_000 {
        let tags = [TAG, pick(&[TAG, "web1"])];
        let tags = if tags[0] == tags[1] { &tags[..1] } else { &tags[..] };
        let mut all = Vec::new();
        for (slug, name) in [("a", "a"), ("a-2", "a"), ("b", "b"), ("zeta", "копия"), ("monitor", "отчёт")]
        {
            match pick(&["none", "none", "by hand", "imported", "another's"]) {
                "by hand" => all.push(existing(slug, "0 9 * * *", &[])),
                "imported" => all.push(Existing {
                    name: pick(&[name, name, "renamed since"]).into(),
                    ..existing(slug, pick(&["0 1 * * *", "0 2 * * *"]), tags)
                }),
                "another's" => all.push(existing(slug, "0 1 * * *", &[TAG, "web9"])),
                _ => {}
            }
        }
        let mut lines = String::new();
        for _ in 0..6 {
            let comment = pick(&["# a\n", "# b\n", "# A!\n", "# копия\n", "# отчёт\n", ""]);
            let times = pick(&["0 1 * * *", "0 2 * * *", "@reboot"]);
            lines.push_str(&format!("{comment}{times} {}\n", pick(&["zeta", "ab", "/opt/a", "x -y"])));
        }
        let crontab = read(&lines);
        let had_imported = all.iter().any(|one| one.is_imported() && !one.tags.contains(&"web9".to_owned()));
        let first = planned(&crontab, &all, tags);
        let monitors = saved(&crontab, &first, &all, tags);
        let ids = |plan: &Plan| plan.jobs.iter().map(|job| job.monitor_id).collect::<Vec<_>>();
        assert_eq!(ids(&first).iter().collect::<HashSet<_>>().len(), 6, "{lines}");
        let pings: Vec<Ping<'_>> = first.jobs.iter().map(|job| Ping { id: job.ping_id, whys: &[] }).collect();
        let rewritten = read(&crontab.written(&pings, &[], &[]));
        for again in [&crontab, &rewritten, &crontab] {
            let second = planned(again, &monitors, tags);
            // Two that have the same name may get the same schedule now: then nobody can tell them apart but by their pings.
            if !had_imported || again.jobs[0].ping_id.is_some() {
                assert_eq!(ids(&second), ids(&first), "{lines}{all:#?}");
            }
            assert!(
                second.jobs.iter().all(|job| job.outcome == Outcome::Unchanged),
                "{lines}{all:#?}{second:#?}"
            );
        }
    }
}

#[test]
fn lines_of_one_name_are_told_apart_by_their_schedules() {
    let text = ["# a\n0 1 * * * x\n", "# a\n0 2 * * * y\n", "# a\n0 3 * * * z\n"];
    let crontab = read(&text.concat());
    let all = saved(&crontab, &planned(&crontab, &[], &[TAG]), &[], &[TAG]);
    for (order, found) in [
        (vec![2, 0, 1], vec![("a-3", "unchanged"), ("a", "unchanged"), ("a-2", "unchanged")]),
        (vec![1, 2], vec![("a-2", "unchanged"), ("a-3", "unchanged")]),
        (vec![2], vec![("a-3", "unchanged")]),
    ] {
        let lines: String = order.iter().map(|place: &usize| text[*place]).collect();
        assert_eq!(shown(&planned(&read(&lines), &all, &[TAG])), found, "{order:?}");
    }
    let more = format!("# a\n0 5 * * * new\n{}", text.concat());
    let found = [("a-5", "created"), ("a", "unchanged"), ("a-2", "unchanged"), ("a-3", "unchanged")];
    assert_eq!(shown(&planned(&read(&more), &all, &[TAG])), found);
}

#[test]
fn who_may_share_a_monitor_with_another_crontab_is_told() {
    let line = "# a\n0 1 * * * x\n";
    let told = |had: &[&str], tags: &[&str]| {
        let one = existing("a", "0 1 * * *", had);
        let plan = planned(&read(line), std::slice::from_ref(&one), tags);
        plan.jobs[0].whys.concat()
    };
    assert!(told(&[TAG, "web1"], &[TAG]).contains("has tags that this import has not (web1)"));
    assert!(told(&[TAG], &[TAG, "web1"]).contains("gets the tags of this import"));
    assert_eq!(told(&[TAG, "web1"], &[TAG, "web1"]), "");
    assert_eq!(told(&[TAG], &[TAG]), "");
}

#[test]
fn when_a_crontab_gets_tags_those_of_its_old_ones_that_no_line_is_about_are_gone() {
    let all = ["a", "b"].map(|slug| existing(slug, "0 1 * * *", &[TAG]));
    let plan = planned(&read("# a\n0 1 * * * x\n"), &all, &[TAG, "web1"]);
    assert_eq!(plan.gone.iter().map(|one| one.slug.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn what_a_line_pings_by_itself_is_not_given_to_another() {
    let one = existing("a", "0 1 * * *", &[TAG]);
    let crontab =
        read(&format!("0 1 * * * x; curl https://old.example/ping/{}\n# a\n0 1 * * * y\n", one.ping_id));
    let plan = planned(&crontab, std::slice::from_ref(&one), &[TAG]);
    assert_eq!(shown(&plan), [("x", "created"), ("a-2", "created")]);
    assert!(plan.jobs[0].whys[0].contains("pings a monitor by itself"), "{:?}", plan.jobs[0].whys);
    assert!(plan.gone.is_empty());
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
    assert!(plan.jobs[2].whys[0].contains("'c' was not made by an import"));
    assert_eq!(plan.gone.iter().map(|one| one.slug.as_str()).collect::<Vec<_>>(), ["e"]);
}

#[test]
fn a_line_that_pings_a_monitor_is_about_that_one_whatever_it_is_called() {
    let one = existing("a", "0 1 * * *", &[TAG]);
    let once = read("# a\n0 1 * * * x\n");
    let rewritten = once.written(&[Ping { id: one.ping_id, whys: &[] }], &[], &[]).replace("# a", "# other");
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
    for (had, tags, gets) in [
        (&[TAG] as &[&str], &[TAG, "web1"] as &[&str], true),
        (&[TAG, "web1"], &[TAG, "web1", "web2"], true),
        (&[TAG, "web1", "by-hand"], &[TAG, "web1"], false),
        (&[TAG, "web1"], &[TAG], false),
        (&[], &[TAG, "web1"], false),
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
    let found = [("a", "unchanged"), ("a-2", "unchanged"), ("a-10", "unchanged"), ("a-4", "created")];
    assert_eq!(shown(&planned(&crontab, &all, &[TAG])), found);
}

#[test]
fn of_a_line_that_was_copied_the_one_with_its_name_keeps_the_monitor() {
    let one = existing("a", "0 1 * * *", &[TAG]);
    let rewritten = read("0 1 * * * x\n").written(&[Ping { id: one.ping_id, whys: &[] }], &[], &[]);
    let line = rewritten.lines().last().unwrap();
    let crontab = read(&format!("# weekly\n{line}\n# a\n{line}\n"));
    let plan = planned(&crontab, std::slice::from_ref(&one), &[TAG]);
    assert_eq!(shown(&plan), [("weekly", "created"), ("a", "unchanged")]);
    assert!(plan.jobs[0].whys[0].contains("as another line does"), "{:?}", plan.jobs[0].whys);
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
    let whys: Vec<&str> = plan.jobs.iter().map(|job| job.whys[0].as_str()).collect();
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
            let after = &saved(&crontab, &plan, std::slice::from_ref(&one), &[TAG])[0];
            assert_eq!(
                (after.cron.as_deref(), after.timezone.as_deref()),
                (Some(times), zone),
                "{was:?} {text:?}"
            );
            let about_zones: Vec<&String> =
                plan.warnings.iter().filter(|text| text.contains("zone")).collect();
            assert_eq!(about_zones.len(), warnings.len(), "{was:?} {text:?}: {about_zones:?}");
            assert!(about_zones.iter().zip(&warnings).all(|(warning, part)| warning.contains(part)));
        }
    }
}

#[test]
fn a_crontab_that_was_copied_to_another_machine_has_monitors_of_its_own() {
    let one = existing("a", "0 1 * * *", &[TAG, "web1"]);
    let rewritten = read("# a\n0 1 * * * x\n").written(&[Ping { id: one.ping_id, whys: &[] }], &[], &[]);
    let crontab = read(&rewritten);
    for (tags, all) in [
        (&[TAG, "web1"] as &[&str], ("a", "unchanged")),
        (&[TAG, "web2"], ("a-2", "created")),
        (&[TAG], ("a", "unchanged")),
    ] {
        let plan = planned(&crontab, std::slice::from_ref(&one), tags);
        assert_eq!(shown(&plan), [all], "{tags:?}");
        assert_eq!(plan.jobs[0].whys.len(), usize::from(all.0 == "a-2"), "{:?}", plan.jobs[0].whys);
    }
}

#[test]
fn a_grace_that_nobody_chose_follows_the_schedule() {
    for (grace, expected) in [(60, Some(21_600)), (150, Some(21_600)), (777, None)] {
        let one = Existing { grace_duration: grace, ..existing("a", "*/5 * * * *", &[TAG]) };
        let plan = planned(&read("# a\n0 4 * * * x\n"), std::slice::from_ref(&one), &[TAG]);
        assert_eq!(plan.jobs[0].grace, expected, "{grace}");
        let plan = planned(&read("# a\n*/5 * * * * x\n"), std::slice::from_ref(&one), &[TAG]);
        assert_eq!(plan.jobs[0].grace, None, "{grace}");
    }
}
