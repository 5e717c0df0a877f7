"""Installs pinned tools into venvs of the project's own.

install: one tool of dev/requirements.txt, which needs nothing else, into .local/venv.
lambda_tools: all of dev/requirements-lambda.txt, into .local/venv-lambda.
ping_clients: all of dev/requirements-clients.txt, into .local/venv-clients.
openapi_tools: all of dev/requirements-openapi.txt, into .local/venv-openapi.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools import LOCAL, ROOT, Problem, lock, say

VENV = LOCAL / "venv"
# What all of dev/requirements-lambda.txt and dev/requirements-clients.txt have wheels for.
OLDEST_PYTHON = (3, 10)
EMULATORS = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64"}


class Missing(Problem):
    """Tools that can't be had on this machine; what can do without them says so and goes on."""


def version(package: str) -> str:
    pins = (ROOT / "dev" / "requirements.txt").read_text(encoding="utf-8")
    pin = re.search(rf"^{re.escape(package)}==(\S+)", pins, re.MULTILINE)
    if not pin:
        raise Problem(f"dev/requirements.txt does not pin {package}")
    return pin.group(1)


def installed(package: str) -> Path | None:
    """The site-packages that holds the pinned version."""
    metadata = f"{package.replace('-', '_')}-{version(package)}.dist-info"
    found = next(VENV.glob(f"lib/python*/site-packages/{metadata}/RECORD"), None)
    return found.parent.parent if found else None


def install(package: str) -> Path:
    with lock("venv"):
        found = installed(package)
        if found:
            return found
        say(f"installing {package} {version(package)} into .local/venv")
        python = VENV / "bin" / "python"
        if not _works([str(python), "-m", "pip", "--version"]):
            # Also mends a venv whose Python was upgraded away, or that was left half made.
            _make_venv(sys.executable, VENV, package)
        wanted = f"{package}=={version(package)}"
        _pip(python, [wanted], wanted)
        found = installed(package)
        if not found:
            raise Problem(f"pip could not install {wanted}: no reason given")
        return found


@dataclass(frozen=True)
class Tools:
    """All that a file pins, in a venv of its own."""

    venv: Path
    pins: Path
    what: str
    progress: str
    oldest_python: tuple[int, int] = OLDEST_PYTHON

    def bin(self) -> Path:
        """The folder with the programs; the first call installs them."""
        bin = self.venv / "bin"
        if self._is_whole():
            return bin
        with lock(self.venv.name, waiting=f"waiting for another process, which installs {self.what}"):
            if not self._is_whole():
                say(f"installing {self.progress} into .local/{self.venv.name}")
                try:
                    _make_venv(_python_for(self.what, self.oldest_python), self.venv, self.what)
                    _pip(bin / "python", ["--no-compile", "-r", str(self.pins)], self.what)
                except Problem as problem:
                    raise Missing(str(problem)) from None
                # Only now is it whole.
                self._stamp().write_text(self._wanted(), encoding="utf-8")
        return bin

    def _stamp(self) -> Path:
        return self.venv / "stamp"

    def _wanted(self) -> str:
        return hashlib.sha256(self.pins.read_bytes()).hexdigest()

    def _is_whole(self) -> bool:
        # The link to a Python that was upgraded away leads nowhere.
        there = (self.venv / "bin" / "python").exists() and self._stamp().exists()
        return there and self._stamp().read_text(encoding="utf-8") == self._wanted()


LAMBDA = Tools(
    LOCAL / "venv-lambda",
    ROOT / "dev" / "requirements-lambda.txt",
    "the Lambda tools",
    "SAM CLI, cargo-lambda, moto and cfn-lint (a minute, once)",
)
CLIENTS = Tools(
    LOCAL / "venv-clients",
    ROOT / "dev" / "requirements-clients.txt",
    "the ping clients",
    "borgmatic and healthchecks-io (some seconds, once)",
)
OPENAPI = Tools(
    LOCAL / "venv-openapi",
    ROOT / "dev" / "requirements-openapi.txt",
    "the OpenAPI tools",
    "schemathesis and openapi-spec-validator (some seconds, once)",
    oldest_python=(3, 11),
)


def lambda_tools() -> Path:
    """The folder with sam, cfn-lint, moto_server and cargo-lambda."""
    return LAMBDA.bin()


def ping_clients() -> Path:
    """The folder with borgmatic, and a python that has healthchecks_io."""
    return CLIENTS.bin()


def openapi_tools() -> Path:
    """The folder with schemathesis, and a python that has openapi_spec_validator, jsonschema_rs and yaml."""
    return OPENAPI.bin()


def emulator() -> Path:
    """The runtime interface emulator that SAM CLI carries: a function's binary answers in it as on Lambda."""
    if sys.platform != "linux" or platform.machine() not in EMULATORS:
        raise Missing(f"the runtime interface emulator runs on Linux, not on {platform.system()} {platform.machine()}")
    lambda_tools()
    found = next(LAMBDA.venv.glob(f"lib/python*/site-packages/samcli/local/rapid/{EMULATORS[platform.machine()]}"), None)
    if not found:
        raise Missing("this SAM CLI has no runtime interface emulator")
    # Wheels lose the right to run it.
    found.chmod(0o755)
    return found


def _python_for(what: str, oldest: tuple[int, int]) -> str:
    if sys.version_info >= oldest:
        return sys.executable
    for minor in range(14, oldest[1] - 1, -1):
        python = shutil.which(f"python3.{minor}")
        if python:
            return python
    raise Problem(f"{what} need Python %d.%d or newer; this one is %d.%d" % (*oldest, *sys.version_info[:2]))


def _make_venv(python: str, folder: Path, needed_by: str) -> None:
    if not _works([python, "-m", "venv", "--clear", str(folder)]):
        raise Problem(f"for {needed_by} Python's venv module is needed, which is missing (on Debian and Ubuntu: apt install python3-venv)")


def _pip(python: Path, wanted: list[str], what: str) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet"]
    # A venv that is active in the shell is no concern of ours.
    env = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH")}
    command = [str(python), "-m", "pip", "install", *options, *wanted]
    pip = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env)
    if pip.returncode:
        lines = [line for line in pip.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
        raise Problem(f"pip could not install {what}: {lines[-1]}")


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
    except OSError:
        return False
