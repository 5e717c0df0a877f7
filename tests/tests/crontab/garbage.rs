//! Whatever is sent: it is refused and nothing has changed, or what was not understood stays where it was.

use cronmon_tests::CronMon;
use cronmon_tests::contents::{contents, count};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::cron::entries;
use crate::post::{import, send_as};

const RANDOM: usize = 500;
/// What a database holds is looked at often.
const IN_ONE_DATABASE: usize = 25;

const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The lines of the original come back in their order, as they were or with pings, with comments between them.
fn nothing_was_lost(original: &str, data: &Value) {
    let skipped: Vec<&Value> = data["lines"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|line| (line["result"] == "skipped").then_some(&line["line"]))
        .collect();
    let crontab = data["crontab"].as_str().unwrap();
    let mut rest = crontab.split('\n').map(|line| line.trim_end_matches('\r')).peekable();
    for (index, line) in original.split('\n').enumerate() {
        let line = line.trim_end_matches('\r');
        let may_change = !skipped.contains(&&Value::from(index + 1));
        // Whatever else there is may be a comment of ours.
        loop {
            let Some(found) = rest.next() else {
                panic!("{line:?} is missing in {crontab:?} of {original:?}")
            };
            if found == line || may_change && found.contains("/ping/") {
                break;
            }
            assert!(found.starts_with('#'), "{found:?} for {line:?} in {crontab:?} of {original:?}");
        }
    }
    for found in rest {
        assert!(
            found.is_empty() || found.starts_with('#'),
            "{found:?} at the end of {crontab:?} of {original:?}"
        );
    }
}

/// Sends it in both forms, and again what comes back, for a tenant of its own. Answers whether it was taken.
async fn is_taken(cronmon: &CronMon, tenant: &str, crontab: &[u8]) -> bool {
    let shown = || crontab[..crontab.len().min(2_000)].escape_ascii().to_string();
    let before = contents(&cronmon.pool).await;
    let reply = send_as(cronmon, tenant, "application/json", "", crontab).await;
    assert!(reply.status == 200 || (400..500).contains(&reply.status), "{} to {}", reply.status, shown());
    if reply.status != 200 {
        reply.refusal();
        assert_eq!(contents(&cronmon.pool).await, before, "{}", shown());
        return false;
    }
    let original = std::str::from_utf8(crontab).unwrap();
    let answer: Value = serde_json::from_str(&reply.text).unwrap();
    let data = &answer["data"];
    nothing_was_lost(original, data);
    let lines = data["lines"].as_array().unwrap();
    let created = lines.iter().filter(|line| line["result"] == "created").count();
    let statement = format!("select count(*) from monitor where tenant = '{tenant}'");
    assert_eq!(count(&cronmon.pool, &statement).await, i64::try_from(created).unwrap(), "{}", shown());
    for line in lines {
        assert!(matches!(line["result"].as_str().unwrap(), "created" | "skipped"), "{line} of {}", shown());
        assert_eq!(
            line["result"] == "skipped",
            line["why"].is_string() && line["monitor_id"].is_null(),
            "{line}"
        );
    }
    let now = contents(&cronmon.pool).await;
    let rewritten = data["crontab"].as_str().unwrap();
    for again in [rewritten, original] {
        let reply = send_as(cronmon, tenant, "*/*", "", again).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert!(reply.text == rewritten, "{:?} and not {rewritten:?} of {}", reply.text, shown());
    }
    assert_eq!(contents(&cronmon.pool).await, now, "{}", shown());
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes() {
    const MEANINGFUL: &[u8] = b"*/0123456789-,@#=%\\'\"`$();&| \t\n\r\0\x0b\x0c\x1b\x7f\x80\xc3\xff";
    let mut cronmon = CronMon::start().await;
    let mut random = StdRng::seed_from_u64(1);
    let mut taken = 0;
    for i in 0..RANDOM {
        if i % IN_ONE_DATABASE == 0 {
            cronmon = CronMon::start().await;
        }
        let length = random.random_range(1..=if i % 10 == 0 { 2_000 } else { 80 });
        let mut bytes = vec![0; length];
        random.fill_bytes(&mut bytes);
        for byte in &mut bytes {
            match i % 4 {
                0 => {}
                1 => *byte = b' ' + *byte % 95,
                2 => *byte = MEANINGFUL[usize::from(*byte) % MEANINGFUL.len()],
                // Those of them that may be taken.
                _ => *byte = MEANINGFUL[usize::from(*byte) % 32],
            }
        }
        taken += usize::from(is_taken(&cronmon, &format!("t{i}"), &bytes).await);
    }
    println!("{taken} of {RANDOM} were taken");
    assert!(taken > RANDOM / 3 && taken < RANDOM);
}

/// The fields of a crontab, most of them good.
fn random_line(random: &mut StdRng) -> String {
    const FIELDS: [&[&str]; 5] = [
        &["*", "0", "*/5", "5-55/10", "1,2,3", "60", "*/0", "5-", "-1", "a", "?"],
        &["*", "3", "*/2", "8-18/2", "0,12", "24", "H", "18-8", ""],
        &["*", "1", "*/7", "1-15", "31", "32", "L", "0"],
        &["*", "1", "jan", "JAN-mar", "feb,dec", "13", "0", "smarch"],
        &["*", "0", "7", "mon-fri", "SUN", "1-5", "8", "5#2", "fri-mon"],
    ];
    const BEGINNINGS: [&str; 16] = [
        "",
        "",
        " ",
        "\t",
        "@daily ",
        "@reboot ",
        "@every 5m ",
        "@Daily ",
        "@",
        "A=",
        "CRON_TZ=",
        "TZ=Europe/Riga #",
        "# ",
        "#",
        "SHELL=",
        "0 3 * * *",
    ];
    const COMMANDS: [&str; 26] = [
        "",
        " ",
        "true",
        "/usr/bin/backup --all",
        "echo a # b",
        "echo 'a",
        "echo \\",
        "date +\\%F",
        "cat%a%b",
        "%",
        "\"quoted program\" x",
        "$HOME/bin/x",
        "A=1 x",
        "cd /srv && ./run.sh",
        "-",
        "=",
        "a\u{a0}b",
        "\u{202e}abc",
        "curl -fsS -m 10 --retry 5 -o /dev/null http://127.0.0.1/ping/x/start; ( a ); curl http://127.0.0.1/ping/x/$?",
        "( true )",
        "# x",
        "(",
        "UTC",
        "/bin/fish",
        "/bin/sh",
        "\u{1f980}",
    ];
    let mut line = (*BEGINNINGS.choose(random).unwrap()).to_owned();
    if line.trim().is_empty() {
        for choices in FIELDS {
            let good = random.random_range(0..8) > 0;
            line.push_str(if good { "*" } else { choices.choose(random).unwrap() });
            line.push_str([" ", " ", "  ", "\t"].choose(random).unwrap());
        }
    }
    line + COMMANDS.choose(random).unwrap() + ["\n", "\n", "\n", "\r\n", "\n\n"].choose(random).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn random_lines() {
    let mut cronmon = CronMon::start().await;
    let (mut random, mut made) = (StdRng::seed_from_u64(2), 0);
    for i in 0..RANDOM / 5 {
        if i % IN_ONE_DATABASE == 0 {
            cronmon = CronMon::start().await;
        }
        let length = random.random_range(1..10);
        let crontab: String = (0..length).map(|_| random_line(&mut random)).collect();
        // Files that end in the middle of a line, too.
        let crontab = if i % 7 == 0 { crontab.trim_end() } else { &crontab };
        let tenant = format!("t{i}");
        assert!(is_taken(&cronmon, &tenant, crontab.as_bytes()).await, "{crontab:?}");
        let statement = format!("select count(*) from monitor where tenant = '{tenant}'");
        made += count(&cronmon.pool, &statement).await;
    }
    println!("{made} monitors");
    assert!(made > 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_text_is_refused() {
    let cronmon = CronMon::start().await;
    let good = "# a\n0 3 * * * echo a\n";
    for (place, bad) in
        [("NUL", b"\0".as_slice()), ("UTF-8", b"\xff"), ("UTF-8", b"\xc3"), ("UTF-8", b"\xed\xa0\x80")]
    {
        for crontab in [
            bad.to_vec(),
            [good.as_bytes(), bad].concat(),
            [bad, good.as_bytes()].concat(),
            [b"0 3 * * * echo a", bad, b"\n0 4 * * * echo b\n"].concat(),
        ] {
            let reply = send_as(&cronmon, "acme", "*/*", "", &crontab).await;
            assert_eq!(reply.status, 422, "{}", crontab.escape_ascii());
            assert!(reply.refusal().contains(place), "{}", reply.refusal());
        }
    }
    assert_eq!(count(&cronmon.pool, "select count(*) from monitor").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_by_nothing() {
    let cronmon = CronMon::start().await;
    // Which curl sends of a file that is not there; whoever put the answer in place would lose his crontab.
    let reply = send_as(&cronmon, "acme", "*/*", "", "").await;
    assert_eq!(reply.status, 422);
    assert!(reply.refusal().contains("it is empty"), "{}", reply.text);
    for crontab in ["\n", "\n\n\n", " \n", "# a\n", "#", "A=1\n", "\u{feff}\n", "# a\n\n"] {
        assert_eq!(import(&cronmon, "?timezone=UTC", crontab).await, crontab, "{crontab:?}");
    }
    assert_eq!(count(&cronmon.pool, "select count(*) from monitor").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_ones_are_refused_or_stay_as_they_are() {
    let cronmon = CronMon::start().await;
    for (index, line) in [
        "x".repeat(1_000_000),
        format!("0 3 * * * echo {}", "x".repeat(1_000_000)),
        format!("{} echo", "0 ".repeat(500_000)),
        format!("# {}\n0 3 * * * echo a", "x".repeat(1_000_000)),
        format!("{}=1", "A".repeat(1_000_000)),
        format!("CRON_TZ={}\n0 3 * * * echo a", "A".repeat(1_000_000)),
        "'".repeat(1_000_000),
        format!("0 3 * * * {}", "(".repeat(1_000_000)),
        format!("{} * * * * echo a", "0,".repeat(500_000)),
    ]
    .iter()
    .enumerate()
    {
        // Of one line without a job nobody knows where it ended.
        let is_one = index == 4 || index == 6;
        let line = if is_one { format!("{line}\n") } else { line.clone() };
        assert!(is_taken(&cronmon, &format!("t{index}"), line.as_bytes()).await, "{index}");
    }
    let before = contents(&cronmon.pool).await;
    let line = "0 3 * * * echo a\n";
    for crontab in [line.repeat(300_000), "x".repeat(MOST_BYTES + 1), "\n".repeat(5_000_000)] {
        let reply = send_as(&cronmon, "acme", "*/*", "", crontab).await;
        assert_eq!(reply.status, 413, "{:.200}", reply.text);
        reply.refusal();
    }
    assert_eq!(contents(&cronmon.pool).await, before);
    // No job among them.
    let reply = send_as(&cronmon, "acme", "*/*", "?timezone=UTC", "#".repeat(MOST_BYTES - 1) + "\n").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.text.len(), MOST_BYTES);
}

/// As curl sends it with -d: to put that in place would be to lose the crontab.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_lost_its_line_ends_is_refused() {
    let cronmon = CronMon::start().await;
    let line = format!("# nightly backup{}", "0 3 * * * /usr/local/bin/backup".repeat(10));
    for query in ["", "?style=none", "?dry_run=1"] {
        let reply = send_as(&cronmon, "acme", "*/*", query, &line).await;
        assert_eq!(reply.status, 422, "{}", reply.text);
        assert!(reply.refusal().contains("--data-binary"), "{}", reply.text);
    }
    assert_eq!(import(&cronmon, "", format!("{line}\n")).await, format!("{line}\n"));
}

/// The whole of the time fields, not one more.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_no_jobs_are_named_and_stay() {
    let cronmon = CronMon::start().await;
    for line in [
        "0 3 * *",
        "0 3 * * *",
        "60 3 * * * a",
        "0 24 * * * a",
        "0 3 0 * * a",
        "0 3 * 13 * a",
        "0 3 * * 8 a",
        "*/0 * * * * a",
        "5-1 * * * * a",
        "x * * * * a",
        "@every 5m a",
        "@fortnightly a",
        "@daily",
        "@",
        "hello",
        "0 3 * * * ",
        "- * * * * a",
        "* * * * mon-fry a",
        "MAILTO",
        "\u{feff}0 3 * * * a x",
    ] {
        let crontab = format!("{line}\n");
        let reply = send_as(&cronmon, "acme", "application/json", "?dry_run=1&timezone=UTC", &crontab).await;
        let answer: Value = serde_json::from_str(&reply.text).unwrap();
        let data = &answer["data"];
        assert_eq!(data["lines"].as_array().map(Vec::len), Some(1), "{line}: {answer}");
        assert_eq!(
            (&data["lines"][0]["result"], &data["lines"][0]["line"]),
            (&"skipped".into(), &1.into()),
            "{line}"
        );
        assert!(!data["lines"][0]["why"].as_str().unwrap().is_empty(), "{line}");
        let text = data["crontab"].as_str().unwrap();
        assert!(text.lines().any(|left| left == line), "{line}: {text}");
        assert!(text.lines().any(|comment| comment.starts_with('#')), "{line}: no comment says why: {text}");
        assert!(entries(text, false).iter().all(|entry| !entry.command.contains("/ping/")), "{line}");
    }
}
