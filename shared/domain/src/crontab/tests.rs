use super::reader::LONGEST_VALUE;
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
fn pings(crontab: &Crontab) -> Vec<Ping<'static>> {
    ids(crontab).into_iter().map(|id| Ping { id, whys: &[] }).collect()
}

fn ids(crontab: &Crontab) -> Vec<Uuid> {
    (0..crontab.jobs.len()).map(|n| Uuid::from_u128(n as u128)).collect()
}

fn written(text: &str) -> String {
    let crontab = read(text);
    crontab.written(&pings(&crontab), &[], &[])
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
    assert_eq!(names(text), ["backup", "b"]);
}

#[test]
fn what_was_written_is_read_back() {
    let text = "# first\n0 3 * * * a\n# second\n1 3 * * * b # odd\n\n@reboot c%d\nhello\n0 3 * * *\n# e\n61 * * * * f\n";
    let once = read(text);
    let rewritten = once.written(&pings(&once), &[], &["gone: x".to_owned()]);
    for form in [(true, false), (false, false), (true, true), (false, true)] {
        let form = Form { announces: form.0, sends_output: form.1 };
        let asked = Asked { form, ..asked() };
        let first = Crontab::read(rewritten.clone(), asked.clone(), now()).unwrap();
        assert_eq!(first.jobs.iter().map(|job| job.ping_id.unwrap()).collect::<Vec<_>>(), ids(&once));
        let again = Crontab::read(first.written(&pings(&once), &[], &[]), asked.clone(), now()).unwrap();
        let back = Crontab::read(again.written(&pings(&once), &[], &[]), self::asked(), now()).unwrap();
        assert_eq!(back.written(&pings(&once), &[], &["gone: x".to_owned()]), rewritten);
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
        ("SHELL=/bin/yash\n0 3 * * * a", "the shell '/bin/yash'"),
        ("CRON_TZ=Mars/Olympus\n0 3 * * * a", "timezone 'Mars/Olympus' is not"),
        ("0 3 * * * curl https://cronmon.example/ping/x", "it pings CronMon already"),
        (&format!("0 3 * * * echo {}", "x".repeat(900)), "with pings its command would be longer"),
        (&format!("0 3 * * * echo {}", "x".repeat(2_000_000)), "with pings its command would be longer"),
        (&format!("0 3 * * * {}", "(".repeat(900)), "with pings its command would be longer"),
        ("\u{feff}0 3 * * * a", "a byte order mark stands before it"),
        ("0 3 * * * date +%F > f", "cron ends its command at the first %"),
        ("0 3 * * * printf \"%s\" a", "cron ends its command at the first %"),
        ("0 3 * * * tar czf '/b/%d.tgz' /srv", "cron ends its command at the first %"),
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
    assert!(
        crontab.written(&pings(&crontab), &[], &[]).starts_with("17 * * * *\troot    ( cd / && run-parts")
    );
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
        let written = crontab.written(&pings(&crontab), &[], &[]);
        assert!(commands.iter().all(|command| written.contains(command)), "{written}");
        // Sent again without a word about it.
        assert_eq!(read(&written).jobs.len(), if has_users { 0 } else { 2 });
    }
}

#[test]
fn a_command_that_is_too_long_for_two_pings_has_one() {
    let asked = Asked { form: Form { announces: true, sends_output: false }, ..asked() };
    for (length, times) in [(600, 2), (800, 1), (900, 0)] {
        let text = format!("0 3 * * * echo {}\n", "x".repeat(length));
        let crontab = Crontab::read(text, asked.clone(), now()).unwrap();
        let written = crontab.written(&pings(&crontab), &[], &[]);
        assert_eq!(written.matches("/ping/").count(), times, "{written}");
        assert_eq!(
            written.starts_with("# cronmon: the command is too long for a ping before it"),
            times == 1
        );
        let again = Crontab::read(written.clone(), asked.clone(), now()).unwrap();
        assert_eq!(again.written(&pings(&crontab), &[], &[]), written);
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

#[test]
fn what_was_written_is_given_back_without_pings() {
    let text = "# a\nMAILTO=x\n0 3 * * *\ta # b \n\n@daily  c%in\nhello\n# d\n0 4 * * * [ -x e ] && e\n";
    for form in [(true, false), (false, false), (true, true), (false, true)] {
        let form = Form { announces: form.0, sends_output: form.1 };
        let crontab = Crontab::read(text.to_owned(), Asked { form, ..asked() }, now()).unwrap();
        let rewritten = crontab.written(&pings(&crontab), &["above".to_owned()], &["below".to_owned()]);
        assert_ne!(rewritten, text);
        assert_eq!(read(&rewritten).without_pings(), text);
    }
    for text in ["", "#", "\n", "hello", "0 3 * * * a\n"] {
        assert_eq!(read(text).without_pings(), text);
    }
    // What goes on pinging is told.
    let by_hand = format!("0 3 * * * a; curl {BASE}/ping/{}\n", Uuid::nil());
    let note = "# cronmon: the next line is left as it is: it pings CronMon already, in a way of its own";
    assert!(read(&by_hand).without_pings().starts_with(note));
}

#[test]
fn what_there_is_to_know_stands_above_the_comment_that_names_the_job() {
    let crontab = read("# a\n0 3 * * * [ -x b ] && b\n@reboot c\n");
    let whys = ["what the caller says".to_owned()];
    let pings = [&whys[..], &[]].map(|whys| Ping { id: Uuid::nil(), whys });
    let written = crontab.written(&pings, &["above".to_owned()], &["below".to_owned()]);
    let lines: Vec<String> = written.lines().map(|line| line.chars().take(40).collect()).collect();
    assert_eq!(
        lines,
        [
            "# cronmon: above",
            "# cronmon: what the caller says",
            "# cronmon: when the test says no, its st",
            "# a",
            "0 3 * * * ( [ -x b ] && b ); s=$?; curl ",
            "# cronmon: @reboot has no schedule: a st",
            "@reboot ( c ); s=$?; curl -fsS -m 10 --r",
            "# cronmon: below",
        ]
    );
}

#[test]
fn a_line_that_is_left_says_where_it_pings() {
    let [a, b] = [1, 2].map(Uuid::from_u128);
    let crontab =
        read(&format!("0 3 * * * curl {BASE}/ping/{a}/start; x; curl {BASE}/ping/{b}; curl {BASE}/ping/x\n"));
    assert_eq!(crontab.left[0].ping_ids, [a, b]);
}

/// A guess that nobody understands is none.
#[test]
fn a_zone_of_commands_that_is_no_iana_zone_is_not_looked_at() {
    assert_eq!(
        schedules("TZ=UTC0\n0 1 * * * a\nTZ=:/etc/localtime\n0 1 * * * a\n", None),
        ["0 1 * * * none, Unknown"; 2]
    );
}

/// As large as a body may be: it is read in bounded time, and each setting is kept once.
#[test]
fn a_crontab_that_is_made_to_cost_much_does_not() {
    let huge = format!("/{}/sh", "a".repeat(3_900_000));
    let reasons = reasons(&format!("SHELL={huge}\n{}", "@daily a\n".repeat(MOST_LINES)));
    assert_eq!(reasons.len(), MOST_LINES);
    assert!(reasons[0].starts_with("the shell '/aaaa"), "{}", reasons[0]);
    let path = format!("/{}/sh", "a".repeat(LONGEST_VALUE - 4));
    assert_eq!(read(&format!("SHELL={path}\n{}", "@daily a\n".repeat(MOST_LINES))).jobs.len(), MOST_LINES);

    let lines: String =
        (0..MOST_LINES).map(|n| format!("{},{} {} 31 2 * a\n", n % 60, n / 60 % 60, n / 3_600)).collect();
    let never = read(&format!("CRON_TZ={huge}\n{lines}"));
    assert!(never.left[0].why.starts_with("timezone '/aaaa"), "{}", never.left[0].why);
    let never = read(&lines);
    assert_eq!((never.jobs.len(), never.left.len()), (0, MOST_LINES));
    assert!(never.left[0].why.starts_with("cron never comes true"));
    assert!(never.left[MOST_LINES - 1].why.contains("schedules never come true"));
}
