use super::*;
use crate::rules::{AlertOn, Rules, Signal};

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// On 22 November 2026.
fn today(time: &str) -> DateTime<Utc> {
    utc(&format!("2026-11-22T{time}Z"))
}

fn rules(schedule: Schedule) -> Rules {
    Rules {
        schedule,
        expected_duration: None,
        grace_duration: 600,
        start_grace_duration: None,
        early_duration: None,
        failure_threshold: 1,
        recovery_threshold: 1,
        alert_on: AlertOn::First,
        min_interval_duration: None,
        min_duration: None,
    }
}

fn cron(expression: &str) -> Schedule {
    Schedule::Cron(Cron::read(expression, None).unwrap())
}

/// What became of the slot of an instant of today, as `slot deadline outcome`; `now` is noon.
fn explained(rules: &Rules, armed: bool, history: &[(&str, &str)], at: &str) -> String {
    let events: Vec<(DateTime<Utc>, Event)> = history
        .iter()
        .map(|(time, what)| {
            let event = match *what {
                "pause" => Event::Pause { until: None },
                "resume" => Event::Resume,
                kind => Event::Signal(Signal {
                    kind: SignalKind::from_name(kind).unwrap(),
                    rid: None,
                    exit_status: None,
                }),
            };
            (today(time), event)
        })
        .collect();
    let began = today("00:00:00");
    let replay = Replay::new(rules.clone(), armed, began, 1_000);
    match slot_at(&replay, began, &events, today(at), today("12:00:00")).unwrap() {
        None => "nothing".to_owned(),
        Some(Expected { slot, deadline, outcome }) => {
            let outcome = match outcome {
                Outcome::Answered { by } => format!("answered at {}", history[by].0),
                outcome => format!("{outcome:?}"),
            };
            format!("{} {} {outcome}", slot.format("%H:%M:%S"), deadline.format("%H:%M:%S"))
        }
    }
}

#[test]
fn the_slot_of_an_instant_is_the_last_that_was_answered_or_passed() {
    let hourly = rules(cron("0 * * * *"));
    let history =
        [("01:00:05", "success"), ("01:59:30", "success"), ("03:08:00", "success"), ("08:30:00", "success")];
    for (at, expected) in [
        ("00:30:00", "nothing"),
        ("01:00:04", "nothing"),
        // The first signal arms; there was no slot before it.
        ("01:30:00", "02:00:00 02:10:00 Pending"),
        ("01:59:30", "02:00:00 02:10:00 answered at 01:59:30"),
        ("02:00:00", "02:00:00 02:10:00 answered at 01:59:30"),
        ("02:59:59", "02:00:00 02:10:00 answered at 01:59:30"),
        // Open then, and answered later.
        ("03:00:00", "03:00:00 03:10:00 answered at 03:08:00"),
        ("03:07:00", "03:00:00 03:10:00 answered at 03:08:00"),
        ("04:00:00", "04:00:00 04:10:00 Missed { silence: None }"),
        ("04:10:01", "04:00:00 04:10:00 Missed { silence: None }"),
        ("06:30:00", "06:00:00 06:10:00 Missed { silence: Some(NotTheFirst) }"),
        // It came for none of them.
        ("08:30:00", "08:00:00 08:10:00 Missed { silence: Some(NotTheFirst) }"),
        ("09:05:00", "09:00:00 09:10:00 Missed { silence: None }"),
        ("12:00:00", "12:00:00 12:10:00 Pending"),
        ("12:30:00", "12:00:00 12:10:00 Pending"),
        ("15:30:00", "15:00:00 15:10:00 Pending"),
    ] {
        assert_eq!(explained(&hourly, false, &history, at), expected, "{at}");
    }
}

#[test]
fn an_interval_counts_from_what_came() {
    let every = rules(Schedule::Every(3_600));
    let history = [("01:00:00", "success"), ("01:50:00", "success"), ("05:30:00", "success")];
    for (at, expected) in [
        ("01:00:00", "02:00:00 02:10:00 Pending"),
        ("01:50:00", "02:00:00 02:10:00 answered at 01:50:00"),
        ("02:49:00", "02:00:00 02:10:00 answered at 01:50:00"),
        ("02:50:00", "02:50:00 03:00:00 Missed { silence: None }"),
        ("04:55:00", "04:50:00 05:00:00 Missed { silence: Some(NotTheFirst) }"),
        ("06:35:00", "06:30:00 06:40:00 Missed { silence: None }"),
        ("12:00:00", "11:30:00 11:40:00 Missed { silence: Some(NotTheFirst) }"),
        ("13:00:00", "12:30:00 12:40:00 Pending"),
    ] {
        assert_eq!(explained(&every, false, &history, at), expected, "{at}");
    }
    let mut rules = every;
    rules.failure_threshold = 3;
    assert_eq!(
        explained(&rules, false, &history, "02:50:00"),
        "02:50:00 03:00:00 Missed { silence: Some(BelowThreshold) }"
    );
}

#[test]
fn before_the_first_signal_only_an_armed_monitor_expects_something() {
    let hourly = rules(cron("0 * * * *"));
    assert_eq!(explained(&hourly, false, &[], "03:00:00"), "nothing");
    assert_eq!(explained(&hourly, true, &[], "00:30:00"), "01:00:00 01:10:00 Pending");
    assert_eq!(explained(&hourly, true, &[], "01:30:00"), "01:00:00 01:10:00 Missed { silence: None }");
    assert_eq!(explained(&rules(Schedule::None), true, &[("01:00:00", "start")], "02:00:00"), "nothing");
}

#[test]
fn what_a_pause_came_upon_is_not_judged() {
    let hourly = rules(cron("0 * * * *"));
    let history =
        [("01:00:00", "success"), ("02:05:00", "pause"), ("04:30:00", "resume"), ("05:00:00", "success")];
    for (at, expected) in [
        ("02:00:00", "02:00:00 02:10:00 NotJudged"),
        ("03:30:00", "nothing"),
        ("04:45:00", "05:00:00 05:10:00 Pending"),
        ("05:30:00", "05:00:00 05:10:00 answered at 05:00:00"),
    ] {
        assert_eq!(explained(&hourly, false, &history, at), expected, "{at}");
    }
}

#[test]
fn the_last_slot_is_the_one_after_which_none_comes_before_the_instant() {
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "UTC"] {
        for expression in ["30 2 * * *", "0,30 2 * * *", "*/30 * * * *", "15 0 * * *", "0 0 29 2 *"] {
            let cron = Cron::read(expression, Some(zone)).unwrap();
            for day in ["2026-03-08", "2026-03-29", "2026-04-05", "2026-09-06", "2026-10-04", "2026-10-25"] {
                let begins = utc(&format!("{day}T00:00:00Z")) - Duration::hours(13);
                for half_hour in 0..80 {
                    let at = begins + Duration::minutes(half_hour * 30);
                    let last = last_slot_of(&cron, at).unwrap();
                    assert!(last <= at, "{expression} {zone} {at}: {last}");
                    let next = cron.next_after(last).unwrap();
                    assert!(next > at, "{expression} {zone} {at}: {last} {next}");
                }
            }
        }
    }
}

fn account() -> Account {
    Account {
        at: today("03:30:00"),
        now: today("12:00:00"),
        zone: Tz::UTC,
        created_at: today("00:00:00"),
        has_schedule: true,
        armed: true,
        expected: None,
        answered: None,
        run: None,
        alerts: vec![],
        paused: None,
        blind: None,
        edited_at: None,
        last_success_at: Some(today("02:00:00")),
        failure_threshold: 3,
    }
}

fn expected(outcome: Outcome) -> Option<Expected> {
    Some(Expected { slot: today("03:00:00"), deadline: today("03:10:00"), outcome })
}

fn run(ended: Option<&str>, succeeded: Option<bool>) -> Option<Run> {
    Some(Run {
        started_at: today("03:00:04"),
        announced: true,
        ended_at: ended.map(today),
        succeeded,
        exit_status: None,
        due_at: Some(today("03:40:04")),
        overran_at: None,
        abandoned_by_pause: false,
    })
}

/// A run of 03:00:04 that was open when the monitor was paused.
fn abandoned_by_pause() -> Option<Run> {
    run(Some("03:12:09"), None).map(|run| Run { abandoned_by_pause: true, ..run })
}

fn said(account: &Account) -> (&'static str, String) {
    (account.verdict().name(), account.sentence())
}

#[test]
fn each_verdict_has_a_sentence() {
    let answered = Outcome::Answered { by: 0 };
    let missed = |silence| expected(Outcome::Missed { silence });
    let overran = run(None, None).map(|run| Run { overran_at: run.due_at, ..run });
    let long_ago = utc("2026-11-20T09:00:00Z");
    for (account, verdict, sentence) in [
        (Account { ..account() }, "nothing_expected", "nothing was expected yet"),
        (
            Account { armed: false, ..account() },
            "nothing_expected",
            "nothing is expected before the first start, success or fail",
        ),
        (
            Account { has_schedule: false, ..account() },
            "nothing_expected",
            "nothing is expected: there is no schedule, and no run was open",
        ),
        (
            Account { created_at: today("04:00:00"), expected: expected(Outcome::Pending), ..account() },
            "nothing_expected",
            "nothing was expected: the monitor was created at 04:00:00",
        ),
        (
            Account { expected: expected(Outcome::Pending), ..account() },
            "pending",
            "expected 03:00:00, nothing came yet; late after 03:10:00",
        ),
        (
            Account { expected: expected(Outcome::Pending), now: today("02:00:00"), ..account() },
            "pending",
            "next expected 03:00:00, late after 03:10:00",
        ),
        (
            Account { expected: expected(answered), run: run(Some("03:12:09"), Some(true)), ..account() },
            "answered",
            "expected 03:00:00, started 03:00:04, succeeded at 03:12:09, 12 min 5 s later",
        ),
        (
            Account { expected: expected(answered), run: run(Some("03:12:09"), None), ..account() },
            "answered",
            "expected 03:00:00, started 03:00:04, abandoned at 03:12:09: its end had not come",
        ),
        (
            Account { expected: expected(answered), run: run(None, None), ..account() },
            "running",
            "expected 03:00:00, started 03:00:04, still running, late after 03:40:04",
        ),
        (
            Account {
                expected: expected(answered),
                answered: Some((today("03:00:04"), SignalKind::Start)),
                ..account()
            },
            "answered",
            "expected 03:00:00, a start came at 03:00:04",
        ),
        (
            Account { expected: missed(None), ..account() },
            "missed",
            "expected 03:00:00, nothing came by 03:10:00; last success 02:00:00",
        ),
        (
            Account { expected: missed(Some(Silence::BelowThreshold)), ..account() },
            "missed",
            "expected 03:00:00, nothing came by 03:10:00; last success 02:00:00; no alert before 3 bad results \
             in a row",
        ),
        (
            Account { expected: missed(Some(Silence::NotTheFirst)), ..account() },
            "missed",
            "expected 03:00:00, nothing came by 03:10:00; last success 02:00:00; no alert, for the incident was \
             told of before",
        ),
        (
            Account { expected: expected(answered), run: overran, ..account() },
            "overran",
            "started 03:00:04, still running at 03:40:04; last success 02:00:00",
        ),
        (
            Account { run: run(Some("03:12:09"), Some(false)), ..account() },
            "failed",
            "failed at 03:12:09, 12 min 5 s after its start; last success 02:00:00",
        ),
        (
            Account {
                expected: missed(None),
                blind: Some((today("02:50:00"), Some(today("03:20:00")))),
                ..account()
            },
            "unknown",
            "expected 03:00:00, but from 02:50:00 to 03:20:00 CronMon could not see whether pings came in",
        ),
        (
            Account { paused: Some((long_ago, None)), ..account() },
            "paused",
            "paused since 20 Nov 09:00:00: nothing is judged until it is resumed",
        ),
        (
            Account { expected: missed(None), edited_at: Some(today("03:05:00")), ..account() },
            "not_judged",
            "expected 03:00:00, but the monitor was changed at 03:05:00, before that was judged",
        ),
        (
            Account { expected: expected(Outcome::NotJudged), ..account() },
            "not_judged",
            "expected 03:00:00, but the monitor was paused before that was judged",
        ),
    ] {
        assert_eq!(said(&account), (verdict, sentence.to_owned()), "{account:?}");
    }
}

#[test]
fn of_a_run_that_a_pause_abandoned_it_is_said() {
    let answered = expected(Outcome::Answered { by: 0 });
    for (account, verdict, sentence) in [
        (
            Account { expected: answered.clone(), run: abandoned_by_pause(), ..account() },
            "answered",
            "expected 03:00:00, started 03:00:04, abandoned at 03:12:09: the monitor was paused before its end \
             came",
        ),
        (
            Account { run: abandoned_by_pause(), has_schedule: false, ..account() },
            "answered",
            "started 03:00:04, abandoned at 03:12:09: the monitor was paused before its end came",
        ),
        (
            Account {
                expected: answered,
                run: abandoned_by_pause(),
                paused: Some((today("03:12:09"), None)),
                ..account()
            },
            "paused",
            "paused since 03:12:09: nothing is judged until it is resumed, and the run that started 03:00:04 was \
             abandoned",
        ),
        (
            Account {
                run: abandoned_by_pause(),
                paused: Some((today("03:12:09"), Some(today("05:00:00")))),
                ..account()
            },
            "paused",
            "paused from 03:12:09 to 05:00:00: nothing is judged then, and the run that started 03:00:04 was \
             abandoned",
        ),
        // By an earlier pause.
        (
            Account { run: abandoned_by_pause(), paused: Some((today("03:20:00"), None)), ..account() },
            "paused",
            "paused since 03:20:00: nothing is judged until it is resumed",
        ),
        (
            Account { expected: expected(Outcome::NotJudged), run: abandoned_by_pause(), ..account() },
            "not_judged",
            "expected 03:00:00, but the monitor was paused before that was judged; the run that started 03:00:04 \
             was abandoned then",
        ),
    ] {
        assert_eq!(said(&account), (verdict, sentence.to_owned()), "{account:?}");
        assert_eq!(account.remark(), None);
    }
    let missed = expected(Outcome::Missed { silence: None });
    let account_of_a_miss = Account { expected: missed, run: abandoned_by_pause(), ..account() };
    assert_eq!(
        account_of_a_miss.remark().as_deref(),
        Some(
            "the run that started 03:00:04 was abandoned at 03:12:09: the monitor was paused before its end came"
        )
    );
    assert_eq!(Account { run: run(Some("03:12:09"), None), ..account_of_a_miss }.remark(), None);
    // It overran before: that is what its alert said, and the rest is remarked.
    let overran = abandoned_by_pause().map(|run| Run { overran_at: Some(today("03:10:04")), ..run });
    let account = Account { run: overran, zone: Tz::Europe__Riga, ..account() };
    assert_eq!(
        said(&account),
        (
            "overran",
            "started 05:00:04, still running at 05:10:04; last success 04:00:00 (Europe/Riga)".to_owned()
        )
    );
    assert_eq!(
        account.remark().as_deref(),
        Some(
            "the run that started 05:00:04 was abandoned at 05:12:09: the monitor was paused before its end came \
             (Europe/Riga)"
        )
    );
}

#[test]
fn what_an_alert_said_is_said_again_and_times_are_those_of_the_zone() {
    let alert = Alert {
        at: today("03:10:00"),
        fact: Fact::Missed { slot: today("03:00:00"), succeeded_at: Some(today("03:20:00")) },
        last_success_at: None,
        zone: Tz::Europe__Riga,
    };
    let recovered = Alert {
        at: today("03:20:00"),
        fact: Fact::Recovered { began_at: today("03:10:00"), cause: crate::Cause::Missed },
        ..alert.clone()
    };
    // Whatever the model thinks of it by the rules of now.
    let told = Account {
        expected: expected(Outcome::Answered { by: 0 }),
        alerts: vec![alert.clone(), recovered],
        ..account()
    };
    assert_eq!(said(&told), ("missed", sentence(&alert)));
    let pending = Account { expected: expected(Outcome::Pending), zone: Tz::Europe__Riga, ..account() };
    assert_eq!(pending.sentence(), "expected 05:00:00, nothing came yet; late after 05:10:00 (Europe/Riga)");
}
