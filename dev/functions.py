"""The Lambda functions: how their binaries are built, and what settings they get on this machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import wheels
from moto import CREDENTIALS
from run import TOKEN_TOOL
from tools import LOCAL, ROOT, TARGET, Problem, call, say

# The binaries, and what the template calls the functions.
LOGICAL = {"api": "Api", "ping": "Ping", "late-check": "LateCheck", "notify": "Notify", "migrate": "Migrate"}
NAMES = tuple(LOGICAL)
TEMPLATE = ROOT / "template.yaml"
CONFIG = ROOT / "samconfig.toml"
SAM_BUILD = LOCAL / "sam"


def architecture() -> str:
    """This machine's, as Lambda calls it."""
    return "x86_64" if platform.machine() in ("x86_64", "AMD64") else "arm64"


def build_for_tests() -> None:
    """cronmon, its token tool and the functions, by binary as cargo lambda watch asks for them: by package, shared crates would have other features."""
    call("cargo", "build", "--release", "--locked", *_bins("cronmon", TOKEN_TOOL, *NAMES))


@lru_cache(maxsize=None)
def build_shipped() -> Path:
    """The functions as they are deployed, but for this machine's architecture; the folder of the binaries, named as the functions."""
    try:
        sam_build(architecture())
    except wheels.Missing as problem:
        say(f"without sam build: {problem}")
        host = _host()
        # With a target, because cargo lambda keeps folders of the same names where the binaries would be without one.
        call("cargo", "build", "--profile", "lambda", "--locked", "--target", host, *_bins(*NAMES))
        return TARGET / host / "lambda"
    folder = SAM_BUILD / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, logical in LOGICAL.items():
        os.link(SAM_BUILD / logical / "bootstrap", folder / name)
    return folder


def sam_build(wanted: str | None = None, env: str = "default") -> Path:
    """`sam build`, for this architecture or the one of an environment of samconfig.toml; the built template."""
    sam(*build_arguments(wanted, env))
    return SAM_BUILD / "template.yaml"


def build_arguments(wanted: str | None, env: str) -> list[str]:
    overrides = ["--parameter-overrides", f"Architecture={wanted}"] if wanted else []
    return ["build", "--build-dir", str(SAM_BUILD), *settings_of(env), *overrides]


def settings_of(env: str) -> list[str]:
    """By itself SAM looks for its settings beside the template, and the built one is elsewhere."""
    return ["--config-file", str(CONFIG), "--config-env", env]


def sam(*arguments: str) -> None:
    call(str(wheels.lambda_tools() / "sam"), *arguments, env=tool_environment())


def tool_environment() -> dict[str, str]:
    """What SAM CLI and cargo-lambda run in."""
    bin = wheels.lambda_tools()
    return {
        **os.environ,
        "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
        "CARGO_TARGET_DIR": str(TARGET),
        "SAM_CLI_TELEMETRY": "0",
    }


def settings(database_url: str, queues: dict[str, str], sqs: str, certs_url: str, public_url: str, networks: str) -> dict[str, str]:
    """The environment of every function: what the template gives it on AWS."""
    return {
        "DATABASE_URL": database_url,
        "PUBLIC_URL": public_url,
        "KEYCLOAK_CERTS_URL": certs_url,
        "ALLOWED_NETWORKS": networks,
        "SLACK_API_URL": os.environ.get("SLACK_API_URL") or "https://slack.com/api",
        "AWS_ENDPOINT_URL": sqs,
        **CREDENTIALS,
        **queues,
    }


def _bins(*names: str) -> list[str]:
    return [part for name in names for part in ("--bin", name)]


def _host() -> str:
    said = subprocess.run(["rustc", "-vV"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    host = re.search(r"^host: (\S+)$", said, re.MULTILINE)
    if not host:
        raise Problem("rustc does not say what machine this is")
    return host.group(1)
