"""samconfig.toml and docs/deploy.md say what is true of the template."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import tomlkit
from loaded import PARAMETERS, ROOT, TEMPLATE, of_type

sys.path.insert(0, str(ROOT / "dev"))
import deploy  # noqa: E402
import functions  # noqa: E402

CONFIG = tomlkit.parse((ROOT / "samconfig.toml").read_text(encoding="utf-8")).unwrap()
GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    return GUIDE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def overrides(environment: str, command: str = "deploy") -> dict[str, str]:
    text = CONFIG[environment][command]["parameters"]["parameter_overrides"]
    return dict(pair.split("=", 1) for pair in text.split())


def matches(parameter: str, value: str) -> bool:
    return re.search(PARAMETERS[parameter]["AllowedPattern"], value) is not None


def tool(name: str) -> str:
    program = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if not program:
        raise unittest.SkipTest(f"{name} is not installed")
    return program


def sam_beyond_the_network(folder: Path, *arguments: str, **environment: str) -> str:
    """What sam says where there is no AWS and no configuration of the user's."""
    # Any account; the port is nobody's.
    fake = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
    fake |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    fake |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    env = {"PATH": os.defpath, "HOME": str(folder), "SAM_CLI_TELEMETRY": "0", **fake, **environment}
    said = subprocess.run([tool("sam"), *arguments], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return said.stdout + said.stderr


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

    def test_functions_are_built_for_the_architecture_that_they_are_deployed_with(self) -> None:
        for environment in ("dev", "prod"):
            self.assertEqual(overrides(environment, "build"), {"Architecture": overrides(environment)["Architecture"]}, environment)
            self.assertIn(overrides(environment)["Architecture"], PARAMETERS["Architecture"]["AllowedValues"])


class Sam(unittest.TestCase):
    """The real sam, as dev/deploy.py calls it."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_it_deploys_the_stack_of_the_environment_though_the_built_template_is_elsewhere(self) -> None:
        template = shutil.copy(ROOT / "template.yaml", self.folder)

        def deployed(environment: str) -> str:
            return sam_beyond_the_network(self.folder, *deploy.deploy_arguments(environment, Path(template)))

        with ThreadPoolExecutor() as threads:
            for environment, said in zip(("dev", "prod"), threads.map(deployed, ("dev", "prod"))):
                with self.subTest(environment):
                    self.assertNotIn("Missing option", said)
                    self.assertIn("Could not connect to the endpoint URL", said)

    def test_it_builds_for_the_architecture_of_the_environment_unless_told_otherwise(self) -> None:
        config = self.folder / "samconfig.toml"
        changed = tomlkit.parse((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
        changed["prod"]["build"]["parameters"]["parameter_overrides"] = "Architecture=x86_64"  # type: ignore[index]
        config.write_text(tomlkit.dumps(changed), encoding="utf-8")
        # Only what it is called with is of interest.
        for name in ("cargo", "cargo-lambda"):
            (self.folder / name).write_text('#!/bin/sh\n[ "$1 $2" != "lambda build" ] || echo "$*" >>"$HOME/called"\nexit 1\n', encoding="utf-8")
            (self.folder / name).chmod(0o755)
        for wanted, arm in ((None, False), ("arm64", True)):
            with self.subTest(wanted), mock.patch.multiple(functions, CONFIG=config, SAM_BUILD=self.folder / "build"):
                called = self.folder / "called"
                called.unlink(missing_ok=True)
                said = sam_beyond_the_network(self.folder, *functions.build_arguments(wanted, "prod"), PATH=f"{self.folder}:{os.defpath}")
                self.assertTrue(called.exists(), said)
                self.assertEqual("--arm64" in called.read_text(encoding="utf-8"), arm)


class Parameters(unittest.TestCase):
    def test_secrets_are_not_shown(self) -> None:
        self.assertIs(PARAMETERS["DatabaseUrl"].get("NoEcho"), True)

    def test_a_certificate_leaves_the_other_variables_their_part_of_the_4_kb(self) -> None:
        self.assertEqual(PARAMETERS["DatabaseCa"]["MaxLength"], 3000)
        self.assertIn("up to 3,000 characters", section("Parameters"))
        self.assertTrue(matches("DatabaseCa", r"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"))

    def test_keys_are_fetched_by_https_only(self) -> None:
        self.assertTrue(matches("KeycloakCertsUrl", "https://keycloak.example/realms/x/protocol/openid-connect/certs"))
        self.assertFalse(matches("KeycloakCertsUrl", "http://keycloak.example/certs"))

    def test_without_an_issuer_there_are_api_keys(self) -> None:
        self.assertEqual(PARAMETERS["KeycloakCertsUrl"]["Default"], "")
        self.assertTrue(matches("KeycloakCertsUrl", ""))

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
        self.assertEqual(set(re.findall(r"`(\w+)`", section("Alarms"))), set(of_type("AWS::CloudWatch::Alarm")))

    def test_it_has_each_output(self) -> None:
        for name in TEMPLATE["Outputs"]:
            self.assertIn(f"`{name}`", section("The first time"))


class Linters(unittest.TestCase):
    def run_clean(self, name: str, *arguments: str) -> None:
        result = subprocess.run(
            [tool(name), *arguments], cwd=ROOT, env={**os.environ, "SAM_CLI_TELEMETRY": "0"}, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_cfn_lint_finds_nothing(self) -> None:
        self.run_clean("cfn-lint", "template.yaml")

    def test_sam_finds_nothing(self) -> None:
        self.run_clean("sam", "validate", "--lint", "--region", "eu-central-1")
