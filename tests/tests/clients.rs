//! Clients of the ping protocol as they are published, each pointed at CronMon by its own setting: what they
//! say is recorded, and what they are told they understand.
//!
//! borgmatic runs as its users run it. Where there is no `borg`, a script stands in for it that backs up
//! nothing: borg has no wheels, and what pings is borgmatic. runitor and healthchecks-io-client (npm) are not
//! among the clients: the Go module proxy refuses runitor.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use cronmon_tests::CronMon;
use cronmon_tests::contents::contents;
use cronmon_tests::ping_keys::{new_ping_key, slug_of};
use cronmon_tests::recorded::{Recorded, recorded, said};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use uuid::Uuid;

/// The folder of the venv with Python's clients, or says that the test is skipped.
fn python_clients() -> Option<PathBuf> {
    let folder = std::env::var_os("CRONMON_PING_CLIENTS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: borgmatic and healthchecks-io could not be installed on this machine");
    }
    folder
}

/// Where a program is, or says that the test is skipped.
fn program(name: &str) -> Option<PathBuf> {
    let found = in_path(name);
    if found.is_none() {
        println!("skipped: there is no {name} on this machine");
    }
    found
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

async fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> Output {
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    tokio::time::timeout(Duration::from_secs(60), ran).await.unwrap().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ping_url(monitor: &Value) -> &str {
    monitor["ping_url"].as_str().unwrap()
}

fn ping_id(monitor: &Value) -> &str {
    ping_url(monitor).rsplit('/').next().unwrap()
}

async fn cronmon_with_monitor() -> (CronMon, Value) {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "backup", "schedule": { "cron": "0 3 * * *" } })).await;
    (cronmon, monitor)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_for_the_crontab_tells_of_the_start_and_of_the_exit_status() {
    if program("curl").is_none() {
        return;
    }
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let line = monitor["crontab_line"].as_str().unwrap();
    let command = line.strip_prefix("0 3 * * * ").unwrap();
    for (job, end) in [
        ("true", "success 0"),
        ("(exit 7)", "fail 7"),
        ("false | cat", "success 0"),
        ("no-such-command 2>/dev/null", "fail 127"),
        ("sh -c 'kill -9 $$'", "fail 137"),
    ] {
        let before = recorded(&cronmon.pool).await.len();
        let ran = run("sh", &["-c", &command.replace("your-command", job)]).await;
        assert!(ran.status.success(), "{job}: {}", text(&ran.stderr));
        assert!(ran.stdout.is_empty(), "cron would mail {:?}", text(&ran.stdout));
        let new = recorded(&cronmon.pool).await.split_off(before);
        assert_eq!(new.iter().map(Recorded::said).collect::<Vec<_>>(), ["start", end], "{job}");
        assert!(new.iter().all(|signal| signal.user_agent.starts_with("curl/")), "{new:?}");
    }
    let jobs = cronmon.read(&monitor).await["jobs"].clone();
    assert_eq!(jobs.as_array().unwrap().len(), 5);
    assert_eq!((&jobs[0]["exit_status"], &jobs[0]["succeeded"]), (&json!(137), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_curl_sends_the_output_and_tells_runs_apart() {
    if program("curl").is_none() {
        return;
    }
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let ping = ping_url(&monitor);
    let rid = Uuid::new_v4();
    let script = format!(
        "set -e; file=$(mktemp); curl -fsS '{ping}/start?rid={rid}'
         (echo dumping; echo 'no space left'; exit 3) >$file 2>&1 && status=0 || status=$?
         curl -fsS --data-binary @$file \"{ping}/$status?rid={rid}\"
         curl -fsS -d 'half way' {ping}/log; curl -fsS -I {ping} >/dev/null; rm $file"
    );
    let ran = run("sh", &["-c", &script]).await;
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert_eq!(text(&ran.stdout), "OKOKOK");
    let signals = recorded(&cronmon.pool).await;
    let rids: Vec<_> =
        signals.iter().map(|signal| (signal.said(), signal.rid, signal.body.as_str())).collect();
    let expected = [
        ("start".to_owned(), Some(rid), ""),
        ("fail 3".to_owned(), Some(rid), "dumping\nno space left\n"),
        ("log".to_owned(), None, "half way"),
        ("success".to_owned(), None, ""),
    ];
    assert_eq!(rids, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_fails_when_nobody_knows_the_monitor_and_the_command_runs_all_the_same() {
    if program("curl").is_none() {
        return;
    }
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let line =
        monitor["crontab_line"].as_str().unwrap().replace(ping_id(&monitor), &Uuid::new_v4().to_string());
    let command = line.strip_prefix("0 3 * * * ").unwrap().replace("your-command", "echo ran");
    let ran = run("sh", &["-c", &command]).await;
    assert_eq!(text(&ran.stdout), "ran\n");
    assert_eq!(ran.status.code(), Some(22), "what curl -f exits with");
    assert!(text(&ran.stderr).contains("404"), "{}", text(&ran.stderr));
    assert!(said(&cronmon.pool).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn wget_pings_with_head_and_with_get() {
    let Some(wget) = program("wget") else { return };
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let key = new_ping_key(&cronmon.pool).await;
    let by_slug = format!("{}/ping/{key}/{}/0", cronmon.url, slug_of(&cronmon.pool, &monitor).await);
    for arguments in [
        &["-q", "--spider", ping_url(&monitor)][..],
        &["-q", "-O", "/dev/null", &format!("{}/fail", ping_url(&monitor))],
        &["-q", "--spider", &by_slug],
        &["-q", "-O", "-", "--post-data", "all is well", ping_url(&monitor)],
    ] {
        let ran = run(&wget, arguments).await;
        assert!(ran.status.success(), "{arguments:?}: {}", text(&ran.stderr));
    }
    let signals = recorded(&cronmon.pool).await;
    assert_eq!(
        signals.iter().map(Recorded::said).collect::<Vec<_>>(),
        ["success", "fail", "success 0", "success"]
    );
    assert!(signals.iter().all(|signal| signal.user_agent.starts_with("Wget/")), "{signals:?}");
    assert_eq!(signals[3].body, "all is well");
    let unknown = format!("{}/ping/{}", cronmon.url, Uuid::new_v4());
    assert_eq!(
        run(&wget, &["-q", "--spider", &unknown]).await.status.code(),
        Some(8),
        "an error of the server"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_healthchecks_crate_reports_and_hears_whether_it_was_heard() {
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let (id, api) = (ping_id(&monitor).to_owned(), format!("{}/ping", cronmon.url));
    let rid = Uuid::new_v4();
    tokio::task::spawn_blocking(move || {
        let client = healthchecks::ping::get_client_with_url(&id, &api).unwrap();
        assert!(client.start_timer());
        assert!(client.report_success());
        assert!(client.report_failure());
        assert!(client.report_failure_with_logs("disk full"));
        let client = client.set_user_agent("nightly");
        assert!(client.start_timer_with_run_id(Some(&rid)));
        assert!(client.report_success_with_run_id(Some(&rid)));
        assert!(client.report_failure_with_logs_and_run_id("too late", Some(&rid)));
        // It knows no other monitor.
        let stranger = healthchecks::ping::get_client_with_url(&Uuid::new_v4().to_string(), &api).unwrap();
        assert!(!stranger.report_success());
    })
    .await
    .unwrap();
    let signals = recorded(&cronmon.pool).await;
    let agent = "healthchecks-rs/3.3.0";
    let all: Vec<_> = signals
        .iter()
        .map(|signal| (signal.kind.as_str(), signal.rid, signal.body.as_str(), signal.user_agent.as_str()))
        .collect();
    let expected = [
        ("start", None, "", agent),
        ("success", None, "", agent),
        ("fail", None, "", agent),
        ("fail", None, "disk full", agent),
        ("start", Some(rid), "", "nightly"),
        ("success", Some(rid), "", "nightly"),
        ("fail", Some(rid), "too late", "nightly"),
    ];
    assert_eq!(all, expected);
}

/// Calls of the package healthchecks-io, and what became of each.
async fn healthchecks_io(clients: &Path, cronmon: &CronMon, ping_key: &str, calls: Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/healthchecks_io_calls.py");
    let mut child = Command::new(clients.join("python"))
        .arg("-I")
        .arg(script)
        .args([&format!("{}/ping", cronmon.url), ping_key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(calls.to_string().as_bytes()).await.unwrap();
    let ran = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    assert!(ran.status.success());
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn healthchecks_io_pings_by_id_and_by_slug() {
    let Some(clients) = python_clients() else { return };
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let key = new_ping_key(&cronmon.pool).await;
    let slug = slug_of(&cronmon.pool, &monitor).await;
    let mut expected = Vec::new();
    let mut calls = Vec::new();
    for check in [json!({ "uuid": ping_id(&monitor) }), json!({ "slug": slug })] {
        for (method, exit_code, data, kind) in [
            ("start_ping", None, "", "start"),
            ("success_ping", None, "\u{fc}ml\u{e4}ut", "success"),
            ("fail_ping", None, "disk full", "fail"),
            ("exit_code_ping", Some(0), "", "success 0"),
            ("exit_code_ping", Some(255), "out of range", "fail 255"),
        ] {
            let mut arguments = check.clone();
            arguments["data"] = json!(data);
            if let Some(exit_code) = exit_code {
                arguments["exit_code"] = json!(exit_code);
            }
            calls.push(json!([method, arguments]));
            expected.push((kind.to_owned(), data.to_owned()));
        }
    }
    let outcomes = healthchecks_io(&clients, &cronmon, &key, json!(calls)).await;
    assert_eq!(outcomes, json!(vec![json!([true, "OK"]); calls.len()]));
    let signals = recorded(&cronmon.pool).await;
    let got: Vec<_> = signals.iter().map(|signal| (signal.said(), signal.body.clone())).collect();
    assert_eq!(got, expected);
    assert!(signals.iter().all(|signal| signal.user_agent == "py-healthchecks.io/0.4.4"), "{signals:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn healthchecks_ios_context_manager_reports_the_end_with_its_log() {
    let Some(clients) = python_clients() else { return };
    let (cronmon, monitor) = cronmon_with_monitor().await;
    let id = ping_id(&monitor);
    let calls = json!([
        ["trap", { "uuid": id, "log": "copied" }],
        ["trap", { "uuid": id, "log": "copying", "raises": "disk full" }],
    ]);
    let outcomes = healthchecks_io(&clients, &cronmon, "", calls).await;
    assert_eq!(outcomes, json!([null, { "raised": "JobFailed" }]));
    let signals = recorded(&cronmon.pool).await;
    assert_eq!(signals.iter().map(Recorded::said).collect::<Vec<_>>(), ["start", "success", "start", "fail"]);
    assert_eq!(signals[1].body, "copied");
    assert!(signals[3].body.starts_with("copying\ndisk full\n"), "{}", signals[3].body);
}

#[tokio::test(flavor = "multi_thread")]
async fn healthchecks_io_raises_what_a_refusal_means() {
    let Some(clients) = python_clients() else { return };
    let cronmon = CronMon::start_with(Some(2)).await;
    let monitor = cronmon.create(json!({ "name": "backup", "schedule": null })).await;
    let key = new_ping_key(&cronmon.pool).await;
    let slug = slug_of(&cronmon.pool, &monitor).await;
    let (id, unknown) = (ping_id(&monitor), Uuid::new_v4());
    let calls = json!([
        ["success_ping", { "uuid": unknown }],
        ["success_ping", { "slug": "nobody" }],
        ["exit_code_ping", { "uuid": id, "exit_code": 256 }],
        ["success_ping", { "uuid": id }],
        ["start_ping", { "slug": slug }],
        ["success_ping", { "uuid": id }],
        ["start_ping", { "slug": slug }],
        ["trap", { "uuid": id, "log": "" }],
        ["fail_ping", { "uuid": id }],
    ]);
    let outcomes = healthchecks_io(&clients, &cronmon, &key, calls).await;
    let raised = |name: &str| json!({ "raised": name });
    let expected = json!([
        raised("CheckNotFoundError"),
        raised("CheckNotFoundError"),
        raised("BadAPIRequestError"),
        [true, "OK"],
        [true, "OK"],
        raised("HCAPIRateLimitError"),
        raised("HCAPIRateLimitError"),
        raised("HCAPIRateLimitError"),
        [true, "OK"],
    ]);
    assert_eq!(outcomes, expected);
    assert_eq!(said(&cronmon.pool).await, ["success", "start", "fail"]);

    cronmon.pool.close();
    let outcomes = healthchecks_io(&clients, &cronmon, &key, json!([["success_ping", { "uuid": id }]])).await;
    assert_eq!(outcomes, json!([raised("HCAPIError")]));
}

/// A folder with something to back up, a borg, and a configuration of borgmatic for each place to ping.
struct Backup {
    folder: PathBuf,
    borgmatic: PathBuf,
    /// Not the stand-in.
    has_borg: bool,
}

impl Backup {
    async fn new(clients: &Path) -> Self {
        let folder = std::env::temp_dir().join(format!("cronmon-test-borgmatic-{}", Uuid::new_v4()));
        std::fs::create_dir_all(folder.join("files")).unwrap();
        std::fs::write(folder.join("files/letter"), "dear sir").unwrap();
        let has_borg = in_path("borg").is_some();
        if !has_borg {
            println!("there is no borg on this machine: a script stands in for it");
            let borg = folder.join("borg");
            std::fs::write(&borg, "#!/bin/sh\ncase \"$*\" in *--version*) echo 'borg 1.4.1';; esac\n")
                .unwrap();
            std::fs::set_permissions(&borg, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let backup = Self { folder, borgmatic: clients.join("borgmatic"), has_borg };
        if has_borg {
            let config = backup.config("http://127.0.0.1:9/never-pinged");
            let made = backup.borgmatic(&config, &["repo-create", "--encryption", "none"]).await;
            assert!(made.status.success(), "{}", text(&made.stderr));
        }
        backup
    }

    fn config(&self, ping_url: &str) -> PathBuf {
        let folder = self.folder.display();
        let borg = if self.has_borg { "borg".to_owned() } else { format!("{folder}/borg") };
        let config = self.folder.join("config.yaml");
        let settings = json!({
            "source_directories": [format!("{folder}/files")],
            "repositories": [{ "path": format!("{folder}/repository") }],
            "local_path": borg,
            "user_runtime_directory": format!("{folder}/run"),
            "user_state_directory": format!("{folder}/state"),
            "healthchecks": { "ping_url": ping_url, "send_logs": true, "create_slug": true },
        });
        // JSON is YAML too.
        std::fs::write(&config, settings.to_string()).unwrap();
        config
    }

    async fn borgmatic(&self, config: &Path, arguments: &[&str]) -> Output {
        let ran = Command::new(&self.borgmatic)
            .arg("--config")
            .arg(config)
            .args(arguments)
            .env("HOME", &self.folder)
            .env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes")
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        tokio::time::timeout(Duration::from_secs(120), ran).await.unwrap().unwrap()
    }

    /// One run that backs up and pings; answers with what it said.
    async fn create(&self, ping_url: &str, succeeds: bool) -> String {
        let ran = self.borgmatic(&self.config(ping_url), &["--verbosity", "1", "create"]).await;
        let said = text(&ran.stdout) + &text(&ran.stderr);
        assert_eq!(ran.status.success(), succeeds, "{said}");
        said
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn borgmatic_makes_its_own_monitor_and_reports_a_backup_and_a_failure() {
    let Some(clients) = python_clients() else { return };
    let backup = Backup::new(&clients).await;
    let cronmon = CronMon::start().await;
    let key = new_ping_key(&cronmon.pool).await;
    let url = format!("{}/ping/{key}/nightly-backup", cronmon.url);

    let said = backup.create(&url, true).await;
    assert!(!said.contains("Healthchecks error"), "{said}");
    let signals = recorded(&cronmon.pool).await;
    assert_eq!(signals.iter().map(Recorded::said).collect::<Vec<_>>(), ["start", "log", "success"]);
    assert!(signals.iter().all(|s| s.slug == "nightly-backup" && s.user_agent == "borgmatic"), "{signals:?}");
    assert_eq!(signals[0].body, "");
    assert!(signals[2].body.contains("Creating archive"), "{}", signals[2].body);
    if backup.has_borg {
        assert!(signals[2].body.contains("Creating archive at \""), "by borg: {}", signals[2].body);
    }
    let answer = cronmon.call(reqwest::Method::GET, "/monitors", None).await;
    let monitor = answer.body["data"][0].clone();
    assert_eq!((&monitor["name"], &answer.body["data"][1]), (&json!("nightly-backup"), &Value::Null));
    let shown = cronmon.read(&monitor).await;
    assert_eq!((&shown["status"], &shown["schedule"]), (&json!("up"), &json!({ "every": 86_400 })));
    assert_eq!(shown["jobs"].as_array().unwrap().len(), 1);

    // What it is to back up is gone.
    std::fs::remove_dir_all(backup.folder.join("files")).unwrap();
    let said = backup.create(&url, false).await;
    assert!(!said.contains("Healthchecks error"), "{said}");
    let signals = recorded(&cronmon.pool).await;
    let new: Vec<_> = signals[3..].iter().map(Recorded::said).collect();
    assert_eq!(new, ["start", "log", "fail"]);
    let shown = cronmon.read(&monitor).await;
    assert_eq!(shown["status"], "failed");
    let output = shown["jobs"][0]["output"].as_str().unwrap();
    assert!(output.contains("Source directories or root pattern paths do not exist"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn borgmatic_pings_by_id_and_says_when_it_was_not_heard() {
    let Some(clients) = python_clients() else { return };
    let backup = Backup::new(&clients).await;
    let (cronmon, monitor) = cronmon_with_monitor().await;
    backup.create(ping_url(&monitor), true).await;
    assert_eq!(said(&cronmon.pool).await, ["start", "log", "success"]);

    let before = contents(&cronmon.pool).await;
    // create=1 with a key that nobody has makes nothing.
    let told = backup.create(&format!("{}/ping/nosuchkeynosuchkeynosu/backup", cronmon.url), true).await;
    assert!(told.contains("Healthchecks error: 404"), "{told}");
    assert_eq!(contents(&cronmon.pool).await, before);
}
