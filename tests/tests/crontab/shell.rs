//! Commands that are hard to put anything around. A line may be left as it is; what is rewritten does what it did.

use cronmon_tests::CronMon;

use crate::cron::{Cron, Entry, Place, Ran, entries};
use crate::post::{import, import_in_detail, monitors, results};
use crate::stub::Stub;

/// Some of them no shell takes.
const ODD: [&str; 69] = [
    "#only a comment",
    "# only a comment",
    ": #",
    "echo a #",
    "echo a;#b",
    "echo a # it's",
    "echo a # \"",
    "echo a # (",
    "echo a # )",
    "echo a # `",
    "echo a # $(",
    r"echo a \# b",
    r"echo a # b \",
    r"echo \",
    r"echo \\",
    r"echo \\\",
    r"echo a\\ # b",
    "echo ${#HOME} ${HOME#/} > /dev/null; echo $#",
    "echo 'a",
    "echo \"a",
    "echo `echo a",
    "echo $(echo a",
    "echo ${HOME",
    "echo (",
    "echo )",
    "echo a ) ; echo b ; ( echo c",
    "echo a } ; echo b ; { echo c",
    "}",
    "{ echo a",
    "echo a ) #",
    "' ; echo a ; '",
    "a' ; echo b ; 'c",
    ";",
    "; echo a",
    "&",
    "echo a &",
    "echo a & ",
    "echo a &&",
    "echo a ||",
    "echo a |",
    "| echo a",
    "echo a ;;",
    "case x in x) echo a",
    "case x in (x) echo a ;; esac",
    "if true; then echo a",
    "for i in 1 2; do echo $i",
    "f() { echo in f; }; f",
    "f () ( echo in f; exit 6 ); f",
    "cat <<EOF",
    "cat <<'EOF'; echo a",
    "cat << EOF%a%EOF%",
    "cat <<-EOF # a",
    "cat <<<a",
    "echo $((1 << 2))",
    "return 3",
    "return",
    "break; echo a",
    "exec 3>&1; echo a >&3; exec 1>&-; echo b >&3",
    "exec > out.txt; echo a; exec 2>&1; no-such-command",
    "exec sh -c 'exit 9'",
    "false; exit",
    "exit 255",
    "exit 256",
    "trap '' INT; trap 'exit 8' EXIT; false",
    "alias a=echo; a b",
    "echo $? $0 $1 $- > /dev/null; echo \"$?\"",
    "\u{e4}=1; echo \u{1f980} '\u{feff}'",
    "echo a\tb\t",
    "time -p true 2> /dev/null",
];

/// The command as a job of every day, and what is made of it: none where it stays as it is.
async fn rewritten(cronmon: &CronMon, query: &str, crontab: &str) -> Vec<(Entry, Option<Entry>)> {
    let after = import(cronmon, query, crontab).await;
    let (before, after) = (entries(crontab, false), entries(&after, false));
    assert_eq!(before.len(), after.len());
    let pairs = before.into_iter().zip(after).map(|(before, after)| {
        assert_eq!(before.times, after.times, "{}", before.command);
        let is_left = before.command == after.command;
        (before, (!is_left).then_some(after))
    });
    pairs.collect()
}

/// What does not depend on which words a shell has for an error.
pub fn what_counts(ran: Ran) -> (std::process::ExitStatus, String, bool, Vec<(std::path::PathBuf, String)>) {
    (ran.status, ran.stdout, ran.stderr.is_empty(), ran.files.into_iter().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_commands_do_what_they_did_or_stay_as_they_are() {
    let cronmon = CronMon::start().await;
    let crontab: String = ODD.iter().map(|command| format!("@daily {command}\n")).collect();
    let place = Place::new();
    let stub = Stub::new(&place, 0);
    for query in ["", "?style=short", "?output=1", "?style=short&output=1"] {
        let (announces, sends_output) = (!query.contains("short"), query.contains("output"));
        let mut left = Vec::new();
        for (before, after) in rewritten(&cronmon, query, &crontab).await {
            let Some(after) = after else {
                left.push(before.command);
                continue;
            };
            for cron in Cron::all_for([&before.command, &after.command]) {
                let shown = format!("{query}, {cron:?}: {} became {}", before.command, after.command);
                let run = |entry: &Entry| {
                    if sends_output { place.run_for_mail(cron, entry) } else { place.run(cron, entry) }
                };
                let expected = run(&before);
                assert!(stub.asked().is_empty());
                let found = run(&after);
                assert_eq!(what_counts(found), what_counts(expected.clone()), "{shown}");
                let end = expected.status.code().unwrap().to_string();
                let asked = stub.asked();
                let wanted = if announces { vec!["start".to_owned(), end] } else { vec![end] };
                assert_eq!(asked, wanted, "{shown}");
                let body = stub.body().unwrap_or_default();
                let said = if sends_output { expected.stdout.trim_end_matches("\\n") } else { "" };
                assert_eq!(body.trim_end_matches("\\n"), said, "{shown}");
            }
        }
        assert_eq!(left, [""; 0], "{query}");
    }
}

/// A job does not suffer from its monitor.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_a_job_does_what_it_did() {
    let cronmon = CronMon::start().await;
    let crontab = "@daily echo a; exit 3\n@daily echo \"$?\"\n@daily false\n@daily true\n@daily cat%a%b\n\
                   @daily set -e; echo b > file; false; echo c\n@daily exit\n@daily echo d >&2 &\n";
    let place = Place::new();
    let stub = Stub::new(&place, 7);
    for query in ["", "?style=short", "?output=1", "?style=short&output=1"] {
        for (before, after) in rewritten(&cronmon, query, crontab).await {
            let after = after.unwrap();
            let shown = format!("{query}: {} became {}", before.command, after.command);
            let expected = place.run(Cron::Vixie, &before);
            let found = place.run(Cron::Vixie, &after);
            assert_eq!((found.status, &found.files), (expected.status, &expected.files), "{shown}");
            let without_complaint = |said: &str| said.replace("curl: no server\\n", "");
            let both = |ran: &Ran| without_complaint(&format!("{}{}", ran.stdout, ran.stderr));
            assert_eq!(both(&found), both(&expected), "{shown}");
            // Of which somebody hears by mail.
            assert!(found.stderr.contains("curl: no server"), "{shown}");
            stub.asked();
        }
    }
}

/// What goes along, whatever it is; and cron's mail has it as before.
#[tokio::test(flavor = "multi_thread")]
async fn output_of_every_kind_reaches_the_mail_and_goes_along() {
    let cronmon = CronMon::start().await;
    let crontab = r#"@daily printf '\n\na\n\n\n'
@daily printf a
@daily true
@daily printf '\\n \\\\ \045s -n %s' '-e'
@daily echo -n a
@daily echo -- -n
@daily echo '$HOME `ls` "a" *'
@daily echo a; echo b >&2; echo c; echo d >&2
@daily printf '\377\376\200'
@daily head -c 300000 /dev/zero | tr '\0' x
@daily (sleep 0.1; echo late) & echo early
@daily cat; exit 3%one%two
o=1
s=2
@daily echo $o $s
"#
    .replace("%s", r"\%s");
    let place = Place::new();
    let stub = Stub::new(&place, 0);
    for query in ["?output=1", "?style=short&output=1"] {
        for (before, after) in rewritten(&cronmon, query, &crontab).await {
            let after = after.unwrap();
            let shown = format!("{query}: {} became {}", before.command, after.command);
            let expected = place.run_for_mail(Cron::Vixie, &before);
            let found = place.run_for_mail(Cron::Vixie, &after);
            let same = found == expected;
            assert!(same, "{shown}: {:.200?} for {:.200?}", found.stdout, expected.stdout);
            let body = stub.body().unwrap_or_default();
            let said = expected.stdout.trim_end_matches("\\n");
            assert!(body.trim_end_matches("\\n") == said, "{shown}: {body:.200?} for {said:.200?}");
        }
    }
}

/// It is kept in a file while the job runs; without one the job does what it did, and only the output is not sent.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_for_its_output_a_job_does_what_it_did() {
    let cronmon = CronMon::start().await;
    let crontab = "TMPDIR=/no/such/folder\n@daily echo a; exit 3\n@daily cat > file; echo b >&2%c\n";
    let place = Place::new();
    let stub = Stub::new(&place, 0);
    for (before, after) in rewritten(&cronmon, "?output=1", crontab).await {
        let after = after.unwrap();
        let expected = place.run_for_mail(Cron::Vixie, &before);
        let found = place.run_for_mail(Cron::Vixie, &after);
        assert_eq!((found.status, &found.files), (expected.status, &expected.files), "{}", after.command);
        assert!(found.stdout.contains(&expected.stdout), "{}", found.stdout);
        assert_eq!(stub.asked(), ["start".to_owned(), expected.status.code().unwrap().to_string()]);
    }
}

/// To a shell its end by a signal is an exit status, and so it is to cron's mail.
#[tokio::test(flavor = "multi_thread")]
async fn who_kills_his_own_shell_is_heard() {
    let cronmon = CronMon::start().await;
    let crontab = "@daily kill -9 $$\n@daily kill $$; echo a\n@daily exec sh -c 'kill -9 $$'\n@daily echo $$ > /dev/null\n";
    let ends = ["137", "143", "137", "0"];
    let place = Place::new();
    let stub = Stub::new(&place, 0);
    for query in ["", "?output=1"] {
        for ((before, after), end) in rewritten(&cronmon, query, crontab).await.into_iter().zip(ends) {
            let after = after.unwrap();
            let expected = place.run(Cron::Vixie, &before);
            let found = place.run(Cron::Vixie, &after);
            let is_same = expected.stdout == found.stdout && expected.files == found.files;
            assert!(is_same, "{found:?} for {expected:?} of {}", after.command);
            assert_eq!(found.status.code().unwrap().to_string(), end, "{}", after.command);
            assert_eq!(stub.asked(), ["start", end], "{}", after.command);
        }
    }
}

/// Shells that are none for what is put around a command.
#[tokio::test(flavor = "multi_thread")]
async fn lines_of_another_shell_are_left_and_that_is_said() {
    let cronmon = CronMon::start().await;
    for shell in [
        "/bin/csh",
        "/usr/bin/tcsh",
        "/usr/local/bin/fish",
        "/usr/bin/python3",
        "\"/bin/fish\"",
        "/sbin/nologin",
    ] {
        let line = "0 3 * * * setenv A b; echo $A";
        let data = import_in_detail(&cronmon, "", format!("SHELL={shell}\n{line}\n")).await;
        assert_eq!(results(&data), ["skipped"], "{shell}");
        assert!(data["crontab"].as_str().unwrap().lines().any(|left| left == line), "{shell}");
        assert!(!data["lines"][0]["why"].as_str().unwrap().is_empty(), "{shell}");
        assert!(data["crontab"].as_str().unwrap().lines().count() > 2, "{shell}: no comment says it: {data}");
    }
    assert!(monitors(&cronmon).await.is_empty());
    for shell in ["/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/zsh", "/bin/ksh", "'/usr/local/bin/bash'"] {
        let data =
            import_in_detail(&cronmon, "?dry_run=1", format!("SHELL={shell}\n0 3 * * * echo a\n")).await;
        assert_eq!(results(&data), ["created"], "{shell}");
    }
    // It counts from its line on, until the next.
    let crontab = "0 3 * * * echo a\nSHELL=/bin/fish\n0 3 * * * echo b\nSHELL=/bin/sh\n0 3 * * * echo c\n";
    let data = import_in_detail(&cronmon, "", crontab).await;
    assert_eq!(results(&data), ["created", "skipped", "created"]);
}

/// cron cuts what is longer, or refuses the whole file.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_would_become_too_long_is_left() {
    let cronmon = CronMon::start().await;
    let mut turned = Vec::new();
    for length in [100, 300, 500, 600, 650, 700, 750, 800, 900, 990, 1_000, 5_000] {
        let line = format!("0 3 * * * echo {}", "x".repeat(length));
        let data = import_in_detail(&cronmon, "", format!("# of {length}\n{line}\n")).await;
        let rewritten = data["crontab"].as_str().unwrap();
        let command = &entries(rewritten, false)[0].command;
        if results(&data) == ["skipped"] {
            assert!(rewritten.lines().any(|left| left == line), "{length}");
            turned.push(length);
        } else {
            assert!(command.len() <= 998, "{length}: {}", command.len());
        }
    }
    assert!(turned.contains(&1_000) && turned.contains(&5_000) && !turned.contains(&300), "{turned:?}");
    println!("left for their length: {turned:?}");
}
