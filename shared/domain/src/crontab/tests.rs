use super::*;

const BASE: &str = "https://cronmon.example";

fn now() -> DateTime<Utc> {
    "2026-11-27T12:00:00Z".parse().unwrap()
}

fn asked() -> Asked {
    Asked {
        has_users: None,
        form: Form { announces: false, sends_output: false },
        zone: Some(Tz::UTC),
        base_url: BASE.to_owned(),
    }
}

fn read(text: &str) -> Crontab {
    Crontab::read(text.to_owned(), asked(), now()).unwrap()
}

/// With ping ids that are the numbers of the jobs.
fn ids(crontab: &Crontab) -> Vec<Uuid> {
    (0..crontab.jobs.len()).map(|n| Uuid::from_u128(n as u128)).collect()
}

fn written(text: &str) -> String {
    let crontab = read(text);
    crontab.written(&ids(&crontab), &[], &[])
}

/// As it is short to read.
fn shown(text: &str) -> String {
    let mut shown = written(text);
    for n in 0..10 {
        let id = Uuid::from_u128(n);
        let end = format!("; s=$?; curl -fsS -m 10 --retry 5 -o /dev/null {BASE}/ping/{id}/$s; exit $s");
        shown = shown.replace(&end, &format!(" -> {n}"));
    }
    shown
}

fn names(text: &str) -> Vec<String> {
    read(text).jobs.into_iter().map(|job| job.name).collect()
}

fn schedules(text: &str, zone: Option<Tz>) -> Vec<String> {
    let crontab = Crontab::read(text.to_owned(), Asked { zone, ..asked() }, now()).unwrap();
    let shown = crontab.jobs.iter().map(|job| match job.schedule {
        Some(schedule) => {
            let cron = &crontab.schedules[schedule];
            format!("{} {}, {:?}", cron.expression(), cron.zone().map_or("none", Tz::name), job.zone)
        }
        None => format!("none, {:?}", job.zone),
    });
    shown.collect()
}

fn reasons(text: &str) -> Vec<String> {
    read(text).left.into_iter().map(|left| left.why).collect()
}

#[test]
fn jobs_are_rewritten_and_everything_else_stays() {
    let text = "# a\nMAILTO=root\n\n  0 3 * * *\t backup --all \n@daily  b%in%put\n";
    assert_eq!(
        shown(text),
        "# a\nMAILTO=root\n\n  0 3 * * *\t ( backup --all  ) -> 0\n@daily  ( b ) -> 1%in%put\n"
    );
    assert_eq!(names(text), ["backup --all", "b"]);
}

#[test]
fn what_was_written_is_read_back() {
    let text = "# first\n0 3 * * * a\n# second\n1 3 * * * b # odd\n\n@reboot c%d\nhello\n0 3 * * *\n# e\n61 * * * * f\n";
    let once = read(text);
    let rewritten = once.written(&ids(&once), &[], &["gone: x".to_owned()]);
    for form in [(true, false), (false, false), (true, true), (false, true)] {
        let form = Form { announces: form.0, sends_output: form.1 };
        let asked = Asked { form, ..asked() };
        let first = Crontab::read(rewritten.clone(), asked.clone(), now()).unwrap();
        assert_eq!(first.jobs.iter().map(|job| job.ping_id.unwrap()).collect::<Vec<_>>(), ids(&once));
        let again = Crontab::read(first.written(&ids(&once), &[], &[]), asked.clone(), now()).unwrap();
        let back = Crontab::read(again.written(&ids(&once), &[], &[]), self::asked(), now()).unwrap();
        assert_eq!(back.written(&ids(&once), &[], &["gone: x".to_owned()]), rewritten);
        for (read, original) in again.jobs.iter().zip(&once.jobs) {
            let (read, original) = (
                (&read.name, &read.command, &read.input),
                (&original.name, &original.command, &original.input),
            );
            assert_eq!(read, original);
        }
    }
    assert_eq!(rewritten.matches("# cronmon: ").count(), 5, "{rewritten}");
}

#[test]
fn a_comment_of_ours_stands_above_the_name_of_the_job_it_is_about() {
    let expected = "# cronmon: the next line is left as it is: there is no command\n# name\n0 3 * * * \n";
    assert_eq!(written("# name\n0 3 * * * \n"), expected);
    assert_eq!(written(expected), expected);
}

#[test]
fn a_comment_directly_above_is_the_name() {
    let text = "# Backup\n0 3 * * * a\n0 3 * * * b\n# far\n\n0 3 * * * c\n# m h dom mon dow command\n0 3 * * * d x\n";
    assert_eq!(names(text), ["Backup", "b", "c", "d x"]);
}

#[test]
fn a_zone_counts_from_its_line_on() {
    let text = "0 1 * * * a\nTZ=:Europe/Riga\n0 2 * * * a\nCRON_TZ=:Asia/Kolkata\n0 3 * * * a\nCRON_TZ=\n0 4 * * * a\nTZ=\n\
                @daily a\n@reboot a\n";
    assert_eq!(
        schedules(text, None),
        [
            "0 1 * * * none, Unknown",
            "0 2 * * * Europe/Riga, Guessed",
            "0 3 * * * Asia/Kolkata, Said",
            "0 4 * * * Europe/Riga, Guessed",
            "@daily none, Unknown",
            "none, Unknown"
        ]
    );
    // TZ is the zone of the commands, so whoever says one for the schedules knows better.
    assert_eq!(
        schedules(text, Some(Tz::Asia__Tokyo)),
        [
            "0 1 * * * Asia/Tokyo, Said",
            "0 2 * * * Asia/Tokyo, Said",
            "0 3 * * * Asia/Kolkata, Said",
            "0 4 * * * Asia/Tokyo, Said",
            "@daily Asia/Tokyo, Said",
            "none, Unknown"
        ]
    );
}

#[test]
fn a_schedule_that_comes_often_is_read_once() {
    assert_eq!(read("0 1 * * * a\n0  1 * * *\tb\n0 2 * * * c\n").schedules.len(), 2);
}

#[test]
fn what_cannot_be_a_job_is_left_and_why_is_said() {
    for (line, why) in [
        ("hello", "it is neither five fields"),
        ("0 3 * * *", "there is no command"),
        ("0 3 * * *  ", "there is no command"),
        ("0 3 * * * %in", "there is no command"),
        ("61 * * * * a", "'61' is not a minute"),
        ("0 3 30 2 * a", "cron never comes true"),
        ("@often a", "'@often' is not a name"),
        ("0 3 * * * -q a", "its command begins with '-'"),
        ("SHELL=/bin/fish\n0 3 * * * a", "the shell '/bin/fish'"),
        ("SHELL=\n0 3 * * * a", "the shell ''"),
        ("CRON_TZ=Mars/Olympus\n0 3 * * * a", "timezone 'Mars/Olympus' is not"),
        ("0 3 * * * curl https://cronmon.example/ping/x", "it pings CronMon already"),
        (&format!("0 3 * * * echo {}", "x".repeat(900)), "with pings its command would be longer"),
        (&format!("0 3 * * * echo {}", "x".repeat(2_000_000)), "with pings its command would be longer"),
        (&format!("0 3 * * * {}", "(".repeat(900)), "with pings its command would be longer"),
        ("\u{feff}0 3 * * * a", "'\u{feff}0' is not a minute"),
    ] {
        let text = format!("{line}\n");
        let reasons = reasons(&text);
        assert!(reasons.len() == 1 && reasons[0].starts_with(why), "{line:.80}: {reasons:?}");
        let note = format!("# cronmon: the next line is left as it is: {}\n", reasons[0]);
        assert_eq!(written(&text).replace(&note, ""), text);
    }
}

#[test]
fn a_user_stays_before_the_command() {
    let asked = Asked { has_users: Some(true), ..asked() };
    let read = |text: &str| Crontab::read(text.to_owned(), asked.clone(), now()).unwrap();
    let crontab = read("17 * * * *\troot    cd / && run-parts --report /etc/cron.hourly\n");
    assert_eq!(crontab.jobs[0].name, "run-parts /etc/cron.hourly");
    assert!(crontab.written(&ids(&crontab), &[], &[]).starts_with("17 * * * *\troot    ( cd / && run-parts"));
    for line in ["0 3 * * * root\n", "0 3 * * * /usr/bin/backup --all\n"] {
        assert_eq!((read(line).jobs.len(), read(line).left.len()), (0, 1), "{line}");
    }
}

#[test]
fn the_system_s_crontab_is_left_as_it_is_unless_somebody_says_what_it_is() {
    let text = "MAILTO=x\n0 3 * * * backup /bin/a\n17 * * * * root /bin/b\n";
    let why = "# cronmon: the next line is left as it is: a user seems to stand before the commands";
    assert_eq!(written(text).matches(why).count(), 2);
    for (has_users, commands) in
        [(true, ["( /bin/a )", "( /bin/b )"]), (false, ["( backup /bin/a )", "( root /bin/b )"])]
    {
        let asked = Asked { has_users: Some(has_users), ..asked() };
        let crontab = Crontab::read(text.to_owned(), asked, now()).unwrap();
        let written = crontab.written(&ids(&crontab), &[], &[]);
        assert!(commands.iter().all(|command| written.contains(command)), "{written}");
        // Sent again without a word about it.
        assert_eq!(read(&written).jobs.len(), if has_users { 0 } else { 2 });
    }
}

#[test]
fn a_command_that_is_too_long_for_two_pings_has_one() {
    let asked = Asked { form: Form { announces: true, sends_output: false }, ..asked() };
    for (length, pings) in [(600, 2), (800, 1), (900, 0)] {
        let text = format!("0 3 * * * echo {}\n", "x".repeat(length));
        let crontab = Crontab::read(text, asked.clone(), now()).unwrap();
        let written = crontab.written(&ids(&crontab), &[], &[]);
        assert_eq!(written.matches("/ping/").count(), pings, "{written}");
        assert_eq!(
            written.starts_with("# cronmon: the command is too long for a ping before it"),
            pings == 1
        );
        let again = Crontab::read(written.clone(), asked.clone(), now()).unwrap();
        assert_eq!(again.written(&ids(&crontab), &[], &[]), written);
    }
}

#[test]
fn line_ends_of_windows_are_taken_from_what_is_understood() {
    assert_eq!(
        shown("# a\r\n\r\n0 3 * * * b\r\nhello\r\n").replace("the next line is left as it is: ", ""),
        "# a\n\n0 3 * * * ( b ) -> 0\n# cronmon: it is neither five fields and a command nor a setting\nhello\r\n"
    );
}

#[test]
fn a_file_without_jobs_is_answered_byte_for_byte() {
    for text in ["", "\n", "#", "# a\n\n", "A=1", " \n", "\n\n\n", "\u{feff}\n"] {
        assert_eq!(written(text), text);
    }
    // cron does not take a last line that has no end.
    assert_eq!(shown("0 3 * * * a"), "0 3 * * * ( a ) -> 0\n");
}

#[test]
fn every_schedule_that_cron_takes_is_one_here() {
    for (times, next) in [
        ("0 0 * * 5-7", "2026-11-28T00:00:00Z"),
        ("0 0 * * 7", "2026-11-29T00:00:00Z"),
        ("0 0 * * 6-7/2", "2026-11-28T00:00:00Z"),
        ("0 0 * * 0-7/7", "2026-11-29T00:00:00Z"),
        ("0 0 * * SUN-tue", "2026-11-29T00:00:00Z"),
        ("0 0 1,15 jan,JUL *", "2027-01-01T00:00:00Z"),
        ("00 03 * * *", "2026-11-28T03:00:00Z"),
        ("*/59 * * * *", "2026-11-27T12:59:00Z"),
        ("5-55/10 8-18/2 * * 1-5", "2026-11-27T12:05:00Z"),
    ] {
        let crontab = read(&format!("{times} a\n"));
        assert_eq!(crontab.left, [], "{times}");
        let slot = crontab.schedules[0].next_after(now()).unwrap();
        assert_eq!(slot, next.parse::<DateTime<Utc>>().unwrap(), "{times}");
    }
}

#[test]
fn more_lines_than_are_read_are_refused() {
    let text = "@daily a\n".repeat(MOST_LINES);
    assert_eq!(read(&text).jobs.len(), MOST_LINES);
    assert_eq!(Crontab::read(text + "@daily a\n", asked(), now()).unwrap_err(), TooMany);
}
