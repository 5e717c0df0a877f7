from __future__ import annotations

import re
import unittest
from pathlib import Path

import tomlkit
from loaded import FUNCTIONS, GLOBALS, RESOURCES, ROOT, properties

DATABASE = {"DATABASE_URL", "DATABASE_SECRET_ARN", "DATABASE_CA"}

# What a main calls of the shared crates, and the settings that are read there.
SHARED = {
    r"lambda::connect_database(_unverified)?\(": DATABASE,
    r"lambda::database_target\(": DATABASE,
    r"DeliveryQueue::from_env\(": {"DELIVERY_QUEUE_URL"},
    r"SpoolQueue::from_env\(": {"SPOOL_QUEUE_URL"},
    r"WakeQueue::from_env\(": {"WAKE_QUEUE_URL"},
    r"destinations::Settings::from_env\(": {"ALLOWED_NETWORKS", "SLACK_API_URL"},
}

A_SETTING = re.compile(r'\b(?:setting|required|var|given)\([^()"]*"([A-Z][A-Z_]*)"')


def folder(function: str) -> Path:
    return ROOT / properties(function)["CodeUri"]


def given(function: str) -> set[str]:
    own = properties(function).get("Environment", {}).get("Variables", {})
    return {*GLOBALS["Environment"]["Variables"], *own}


def code(path: Path) -> str:
    """A file without its tests and comments."""
    text = re.split(r"#\[cfg\(test\)\]\nmod \w+ \{", path.read_text(encoding="utf-8"))[0]
    return re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)


def read_in(path: Path) -> set[str]:
    files = [file for file in sorted(path.rglob("*.rs")) if file.name != "tests.rs"]
    return {name for file in files for name in A_SETTING.findall(code(file))}


def read(function: str) -> set[str]:
    names = read_in(folder(function) / "src")
    main = code(folder(function) / "src" / "main.rs")
    for call, settings in SHARED.items():
        if re.search(call, main):
            names |= settings
    return names


class Functions(unittest.TestCase):
    def test_the_five_are_there(self) -> None:
        self.assertEqual(set(FUNCTIONS), {"Api", "Ping", "LateCheck", "Notify", "Migrate"})

    def test_each_builds_the_binary_of_its_crate(self) -> None:
        for name, function in FUNCTIONS.items():
            with self.subTest(name):
                manifest = tomlkit.parse((folder(name) / "Cargo.toml").read_text(encoding="utf-8")).unwrap()
                self.assertEqual(function["Metadata"]["BuildMethod"], "rust-cargolambda")
                binary = function["Metadata"]["BuildProperties"]["Binary"]
                self.assertIn(binary, [target["name"] for target in manifest.get("bin", [])] or [manifest["package"]["name"]])

    def test_sam_which_always_builds_the_release_profile_gets_the_lambda_profile(self) -> None:
        # cargo reads the file because SAM builds in the folder of each function.
        override = ROOT / "functions" / ".cargo" / "config.toml"
        self.assertTrue(override.exists(), "without functions/.cargo/config.toml functions are built as `make run` builds them")
        release = tomlkit.parse(override.read_text(encoding="utf-8")).unwrap()["profile"]["release"]
        wanted = tomlkit.parse((ROOT / "Cargo.toml").read_text(encoding="utf-8")).unwrap()["profile"]["lambda"]
        self.assertEqual(wanted.pop("inherits"), "release")
        self.assertEqual(release, wanted)

    def test_each_gets_every_setting_that_it_reads(self) -> None:
        for name in FUNCTIONS:
            with self.subTest(name):
                self.assertEqual(read(name) - given(name), set())

    def test_none_gets_a_setting_that_it_does_not_read(self) -> None:
        for name in FUNCTIONS:
            with self.subTest(name):
                self.assertEqual(given(name) - read(name), set())

    def test_the_settings_that_the_shared_crates_read_are_known_here(self) -> None:
        crates = [ROOT / "shared" / name / "src" for name in ("lambda", "database", "destinations")]
        names = {name for crate in crates for name in read_in(crate) if not name.startswith("AWS_")}
        self.assertEqual(names, set().union(*SHARED.values()))

    def test_concurrency_is_reserved_where_it_is_the_budget_of_connections(self) -> None:
        for name, amount in (("Ping", {"Ref": "PingConcurrency"}), ("Api", {"Ref": "ApiConcurrency"}), ("LateCheck", 3)):
            with self.subTest(name):
                condition, when_true, when_false = properties(name)["ReservedConcurrentExecutions"]["Fn::If"]
                self.assertEqual(condition, "ReservesApi" if name == "Api" else "ReservesPing")
                self.assertEqual((when_true, when_false), (amount, {"Ref": "AWS::NoValue"}))
        (event,) = properties("Notify")["Events"].values()
        self.assertEqual(event["Properties"]["ScalingConfig"], {"MaximumConcurrency": {"Ref": "NotifyConcurrency"}})

    def test_functions_that_send_to_the_queue_that_calls_them_are_not_stopped_for_a_loop(self) -> None:
        for name in ("LateCheck", "Notify"):
            self.assertEqual(properties(name).get("RecursiveLoop"), "Allow", name)

    def test_each_logs_to_a_group_of_its_own_with_retention_and_without_a_line_for_each_run(self) -> None:
        groups = []
        for name in FUNCTIONS:
            with self.subTest(name):
                logging = properties(name)["LoggingConfig"]
                self.assertEqual(logging["LogFormat"], "JSON")
                self.assertEqual(logging["ApplicationLogLevel"], "INFO")
                self.assertEqual(logging["SystemLogLevel"], "WARN")
                group = logging["LogGroup"]["Ref"]
                groups.append(group)
                self.assertEqual(RESOURCES[group]["Type"], "AWS::Logs::LogGroup")
        self.assertEqual(len(set(groups)), len(FUNCTIONS))

    def test_every_log_group_has_retention(self) -> None:
        for name, resource in RESOURCES.items():
            if resource["Type"] == "AWS::Logs::LogGroup":
                self.assertEqual(resource["Properties"].get("RetentionInDays"), {"Ref": "LogRetentionDays"}, name)
