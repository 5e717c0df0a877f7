//! Commands of random words, signs and quotes. Most of them no shell takes, and some do the oddest things.

use cronmon_tests::CronMon;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::cron::{Cron, Place, Ran, entries};
use crate::post::import;
use crate::shell::what_counts;
use crate::stub::Stub;

/// Some, and more with `make test-all`.
fn commands() -> usize {
    if std::env::var_os("CRONMON_SOAK").is_some() { 600 } else { 200 }
}

/// Nothing here reaches out of the folder or goes on for ever.
const PIECES: [&str; 62] = [
    "echo",
    "echo",
    "echo",
    "printf x",
    "true",
    "false",
    "cat",
    "exit 3",
    "read r",
    "a",
    "b c",
    "$r",
    "\"$r\"",
    "$?",
    "$#",
    "${#r}",
    "'",
    "\"",
    "`",
    "\\",
    "\\\\",
    "\\'",
    "\\\"",
    "(",
    ")",
    "$(",
    "$(echo q)",
    "`echo q`",
    "{",
    "}",
    ";",
    ";",
    "&&",
    "||",
    "|",
    "& wait",
    "> f",
    ">> f",
    "2>&1",
    "< f",
    "<<E",
    "#",
    " # c",
    "a#b",
    "\\#",
    "'q'",
    "\"q\"",
    "' '",
    "if true; then",
    "fi",
    "case x in x)",
    "esac",
    ";;",
    "!",
    "\\%",
    "%",
    "%in",
    "$((1+1))",
    "wait",
    "\t",
    "set -e;",
    "~",
];

fn random_commands(seed: u64) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..commands())
        .map(|_| {
            let mut command = String::from("echo");
            for _ in 0..random.random_range(1..7) {
                if random.random_range(0..4) > 0 {
                    command.push(' ');
                }
                command.push_str(PIECES.choose(&mut random).unwrap());
            }
            command
        })
        .collect()
}

/// Both ends of a pipe speak, and what runs in the background.
fn in_any_order(ran: Ran) -> impl PartialEq {
    let (status, stdout, is_quiet, files) = what_counts(ran);
    let mut lines: Vec<String> = stdout.split("\\n").map(ToOwned::to_owned).collect();
    lines.sort_unstable();
    (status, lines, is_quiet, files)
}

async fn run_all(query: &str, shell: &str, seed: u64) {
    let cronmon = CronMon::start().await;
    let lines: String = random_commands(seed).iter().map(|command| format!("@daily {command}\n")).collect();
    let crontab = format!("SHELL={shell}\n{lines}");
    let rewritten = import(&cronmon, query, &crontab).await;
    assert_eq!(import(&cronmon, query, &rewritten).await, rewritten);
    assert_eq!(import(&cronmon, query, &crontab).await, rewritten);
    let place = Place::new();
    let stub = Stub::new(&place, 0);
    let for_mail = query.contains("output");
    let (mut left, mut refused, mut wrong) = (0, 0, Vec::new());
    for (before, after) in entries(&crontab, false).iter().zip(entries(&rewritten, false)) {
        if before.command == after.command {
            left += 1;
            continue;
        }
        for cron in Cron::all_for([&before.command, &after.command]) {
            let run = |entry| if for_mail { place.run_for_mail(cron, entry) } else { place.run(cron, entry) };
            // What goes on at once may end otherwise once in a while.
            let differences: Option<Vec<String>> = (0..4)
                .map(|_| {
                    let (expected, found) = (run(before), run(&after));
                    refused += usize::from(expected.status.code() == Some(2) && cron == Cron::Vixie);
                    let asked = stub.asked();
                    let end = expected.status.code().map(|code| code.to_string());
                    let same = in_any_order(found.clone()) == in_any_order(expected.clone());
                    let shown = format!("gave {found:?}\nfor {expected:?}\nand asked for {asked:?}");
                    (!same || asked.last() != end.as_ref()).then_some(shown)
                })
                .collect();
            if let Some(difference) = differences.and_then(|all| all.into_iter().next()) {
                wrong.push(format!("{cron:?}: {}\nbecame {}\n{difference}", before.command, after.command));
            }
        }
    }
    let commands = commands();
    println!("{query} {shell}: {left} of {commands} random commands stay as they are, {refused} are none");
    let shortest = wrong.iter().min_by_key(|text| text.len());
    assert!(
        wrong.is_empty(),
        "{query}: {} do something else, one of them: {}",
        wrong.len(),
        shortest.unwrap()
    );
    assert!(left < commands / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_commands_do_what_they_did_or_stay_as_they_are() {
    run_all("", "/bin/sh", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_do_with_their_end_alone() {
    run_all("?style=short", "/bin/sh", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_do_with_their_output() {
    run_all("?output=1", "/bin/sh", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_do_in_bash() {
    run_all("", "/bin/bash", 4).await;
}
