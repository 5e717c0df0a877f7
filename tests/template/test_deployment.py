"""samconfig.toml and docs/deploy.md say what is true of the template."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import tomlkit
from loaded import PARAMETERS, ROOT, TEMPLATE, of_type

CONFIG = tomlkit.parse((ROOT / "samconfig.toml").read_text(encoding="utf-8")).unwrap()
GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    return GUIDE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def overrides(environment: str) -> dict[str, str]:
    text = CONFIG[environment]["deploy"]["parameters"]["parameter_overrides"]
    return dict(pair.split("=", 1) for pair in text.split())


class Samconfig(unittest.TestCase):
    def test_dev_is_the_default(self) -> None:
        self.assertEqual(CONFIG["default"], CONFIG["dev"])

    def test_dev_and_prod_are_two_stacks(self) -> None:
        self.assertEqual([CONFIG[name]["global"]["parameters"]["stack_name"] for name in ("dev", "prod")], ["cronmon-dev", "cronmon-prod"])

    def test_it_sets_parameters_that_exist_and_none_that_are_secret(self) -> None:
        for environment in ("dev", "prod"):
            for name in overrides(environment):
                self.assertIn(name, PARAMETERS)
                self.assertFalse(PARAMETERS[name].get("NoEcho"), name)

    def test_prod_asks_before_it_changes_anything(self) -> None:
        self.assertIs(CONFIG["prod"]["deploy"]["parameters"]["confirm_changeset"], True)

    def test_builds_are_not_cached_for_sam_does_not_see_shared(self) -> None:
        for environment in CONFIG:
            if environment != "version":
                self.assertIs(CONFIG[environment]["build"]["parameters"]["cached"], False, environment)


class Parameters(unittest.TestCase):
    def test_secrets_are_not_shown(self) -> None:
        self.assertIs(PARAMETERS["DatabaseUrl"].get("NoEcho"), True)

    def test_each_is_in_a_group_of_the_console(self) -> None:
        groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        grouped = [name for group in groups for name in group["Parameters"]]
        self.assertEqual(sorted(grouped), sorted(PARAMETERS))

    def test_subnets_and_security_groups_come_together(self) -> None:
        rules = TEMPLATE["Rules"]
        self.assertEqual(set(rules), {"SubnetsNeedSecurityGroups", "SecurityGroupsNeedSubnets"})

    def test_the_guide_has_each_and_no_other(self) -> None:
        self.assertEqual(sorted(re.findall(r"^\| `(\w+)` \|", section("Parameters"), flags=re.MULTILINE)), sorted(PARAMETERS))


class Guide(unittest.TestCase):
    def test_it_has_each_alarm(self) -> None:
        self.assertEqual(set(re.findall(r"`(\w+)`", re.sub(r"`HeartbeatUrl`.*", "", section("Alarms")))), set(of_type("AWS::CloudWatch::Alarm")))

    def test_it_has_each_output(self) -> None:
        for name in TEMPLATE["Outputs"]:
            self.assertIn(f"`{name}`", section("The first time"))


class Linters(unittest.TestCase):
    def run_clean(self, tool: str, *arguments: str) -> None:
        program = shutil.which(tool, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
        if not program:
            self.skipTest(f"{tool} is not installed")
        result = subprocess.run(
            [program, *arguments], cwd=ROOT, env={**os.environ, "SAM_CLI_TELEMETRY": "0"}, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_cfn_lint_finds_nothing(self) -> None:
        self.run_clean("cfn-lint", "template.yaml")

    def test_sam_finds_nothing(self) -> None:
        self.run_clean("sam", "validate", "--lint", "--region", "eu-central-1")
