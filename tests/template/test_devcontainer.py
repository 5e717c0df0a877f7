"""The devcontainer is not built by any test, so what it repeats from elsewhere is compared here."""

from __future__ import annotations

import json
import re
import unittest
from typing import Any

from loaded import ROOT

# Of the published schema (devContainer.base.schema.json), those that we use: an unknown field is ignored without a word.
FIELDS = {
    "name": str,
    "image": str,
    "features": dict,
    "onCreateCommand": str,
    "postCreateCommand": str,
    "forwardPorts": list,
    "portsAttributes": dict,
    "otherPortsAttributes": dict,
    "remoteUser": str,
}
PORT_FIELDS = {"label", "onAutoForward"}
AUTO_FORWARD = {"notify", "openBrowser", "openBrowserOnce", "openPreview", "silent", "ignore"}


def text(*path: str) -> str:
    return ROOT.joinpath(*path).read_text(encoding="utf-8")


def number(pattern: str, *path: str) -> int:
    found = re.search(pattern, text(*path), re.MULTILINE)
    assert found, f"no {pattern} in {'/'.join(path)}"
    return int(found.group(1))


CONFIG: dict[str, Any] = json.loads(text(".devcontainer", "devcontainer.json"))


class Devcontainer(unittest.TestCase):
    def feature(self, name: str) -> dict[str, Any]:
        feature: dict[str, Any] = CONFIG["features"][f"ghcr.io/devcontainers/features/{name}"]
        return feature

    def test_its_fields_are_those_of_the_schema(self) -> None:
        self.assertEqual({name: type(value) for name, value in CONFIG.items()}, FIELDS)
        for attributes in (*CONFIG["portsAttributes"].values(), CONFIG["otherPortsAttributes"]):
            self.assertLessEqual(set(attributes), PORT_FIELDS)
            self.assertIn(attributes["onAutoForward"], AUTO_FORWARD)

    def test_its_rust_is_that_of_the_toolchain_file_and_enough_for_the_workspace(self) -> None:
        version = self.feature("rust:1")["version"]
        self.assertIn(f'channel = "{version}"', text("rust-toolchain.toml"))
        self.assertIn(f'rust-version = "{version.rsplit(".", 1)[0]}"', text("Cargo.toml"))

    def test_its_java_is_enough_for_keycloak_which_maven_fetches(self) -> None:
        java = self.feature("java:1")
        self.assertGreaterEqual(int(java["version"]), number(r"^OLDEST_JAVA = (\d+)", "dev", "keycloak.py"))
        self.assertIs(java["installMaven"], True)

    def test_it_forwards_the_ports_that_the_readme_and_the_tools_name(self) -> None:
        ports = [number(r'os.environ.get\("PORT"\) or "(\d+)"', "dev", "run.py"), number(r"^PORT = (\d+)", "dev", "keycloak.py")]
        self.assertEqual(CONFIG["forwardPorts"], ports)
        self.assertEqual(set(CONFIG["portsAttributes"]), {str(port) for port in ports})
        for port in ports:
            self.assertIn(f"http://127.0.0.1:{port}", text("README.md"))

    def test_what_it_runs_is_there(self) -> None:
        self.assertEqual(CONFIG["postCreateCommand"], "python3 dev/prepare.py")
        self.assertTrue(ROOT.joinpath("dev", "prepare.py").exists())
