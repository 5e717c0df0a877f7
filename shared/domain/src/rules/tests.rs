//! Properties that hold for every history.

use super::*;
use proptest::prelude::*;

fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn rules(schedule: Schedule) -> Rules {
    Rules {
        schedule,
        expected_duration: None,
        grace_duration: 60,
        start_grace_duration: None,
        early_duration: None,
        failure_threshold: 1,
        recovery_threshold: 1,
        alert_on: AlertOn::First,
        min_interval_duration: None,
        min_duration: None,
    }
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        Just(Schedule::None),
        (1..4_000i64).prop_map(Schedule::Every),
        prop::sample::select(vec!["* * * * *", "*/5 * * * *", "0 * * * *", "30 2 * * *"])
            .prop_map(|e| Schedule::Cron(Cron::read(e, Some("Europe/Berlin")).unwrap())),
    ]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    (
        any_schedule(),
        prop::option::of(0..4_000i64),
        0..4_000i64,
        prop::option::of(0..600i64),
        prop::option::of(0..600i64),
        (1..4i32, 1..4i32, any::<bool>()),
        (prop::option::of(1..4_000i64), prop::option::of(1..600i64)),
    )
        .prop_map(
            |(schedule, expected, grace, start_grace, early, (failure, recovery, every), (interval, run))| {
                Rules {
                    schedule,
                    expected_duration: expected,
                    grace_duration: grace,
                    start_grace_duration: start_grace,
                    early_duration: early,
                    failure_threshold: failure,
                    recovery_threshold: recovery,
                    alert_on: if every { AlertOn::Every } else { AlertOn::First },
                    min_interval_duration: interval,
                    min_duration: run,
                }
            },
        )
}

fn any_signal() -> impl Strategy<Value = Signal> {
    let kind =
        prop::sample::select(vec![SignalKind::Start, SignalKind::Success, SignalKind::Fail, SignalKind::Log]);
    (kind, prop::option::of(1..3u128)).prop_map(|(kind, rid)| Signal {
        kind,
        rid: rid.map(Uuid::from_u128),
        exit_status: None,
    })
}

proptest! {
    #[test]
    fn a_signal_never_moves_the_slot_backwards(
        rules in any_rules(),
        history in prop::collection::vec((1..5_000i64, any_signal()), 1..30)
    ) {
        let mut monitor = Monitor::new(rules, false, instant(0));
        let mut now = 0;
        for (step, signal) in history {
            now += step;
            let before = monitor.next_slot;
            monitor.apply(&signal, instant(now));
            prop_assert!(monitor.next_slot >= before, "{before:?} then {:?}", monitor.next_slot);
        }
    }

    #[test]
    fn nothing_is_due_after_a_look_and_late_always_means_alerted(
        rules in any_rules(),
        history in prop::collection::vec((1..50_000i64, any_signal()), 1..30)
    ) {
        let mut monitor = Monitor::new(rules, true, instant(0));
        let (mut now, mut bad_news, mut recoveries) = (0, 0, 0);
        for (step, signal) in history {
            now += step;
            for alert in monitor.apply(&signal, instant(now)) {
                match alert.fact {
                    Fact::Recovered { .. } => recoveries += 1,
                    _ => bad_news += 1,
                }
                prop_assert!(alert.at <= instant(now));
            }
            prop_assert!(monitor.due_at().is_none_or(|due| due >= instant(now)));
            let calm = matches!(monitor.status, Status::New | Status::Up);
            prop_assert_eq!(calm, monitor.incident.is_none());
            prop_assert!(recoveries <= bad_news);
        }
    }

    #[test]
    fn looking_often_or_seldom_gives_the_same_incidents(
        mut rules in any_rules(),
        history in prop::collection::vec((1..5_000i64, any_signal()), 1..20)
    ) {
        // Told every fact, somebody who looks seldom hears of several misses once.
        rules.alert_on = AlertOn::First;
        let mut seldom = Monitor::new(rules.clone(), true, instant(0));
        let mut often = Monitor::new(rules, true, instant(0));
        let mut now = 0;
        for (step, signal) in history {
            for second in (now..now + step).step_by(61) {
                often.look(instant(second));
            }
            now += step;
            seldom.apply(&signal, instant(now));
            often.apply(&signal, instant(now));
            prop_assert_eq!(seldom.status, often.status);
            prop_assert_eq!(seldom.next_slot, often.next_slot);
            prop_assert_eq!(&seldom.jobs, &often.jobs);
            prop_assert_eq!(
                seldom.incident.clone().map(|i| (i.began_at, i.cause)),
                often.incident.clone().map(|i| (i.began_at, i.cause))
            );
            seldom.incident.clone_from(&often.incident);
        }
    }
}

#[test]
fn an_edit_that_changes_no_time_keeps_the_slot() {
    let mut monitor = Monitor::new(rules(Schedule::Every(300)), true, instant(0));
    let mut new = monitor.rules.clone();
    new.failure_threshold = 3;
    monitor.edit(new, instant(200));
    assert_eq!(monitor.next_slot, Some(instant(300)));
}

#[test]
fn an_edit_to_a_shorter_interval_goes_on_counting_from_the_last_run() {
    let mut monitor = Monitor::new(rules(Schedule::Every(86_400)), true, instant(0));
    monitor.edit(rules(Schedule::Every(100)), instant(250));
    assert_eq!(monitor.next_slot, Some(instant(300)));
}
