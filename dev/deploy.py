"""Builds the functions for AWS and deploys the stack: python3 dev/deploy.py [ENV]

    python3 dev/deploy.py ENV key TENANT SCOPE   makes an API key in the stack and prints it

ENV is a section of samconfig.toml, `dev` without. docs/deploy.md says how the first time differs.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import functions
import wheels
from tools import ROOT, Problem, main, need_rust, stage

DEFAULT = "dev"
# Whether SAM CLI will find somebody to deploy as: it looks where boto3 looks.
CREDENTIALS = """
import boto3, sys
session = boto3.Session()
sys.exit(0 if session.get_credentials() and session.region_name else 1)
"""


# Whose the first key is, where no token says whose monitors are.
FIRST_TENANT = "main"


def deploy(env: str) -> None:
    need_rust()
    python = python_for_aws(env)
    with stage("sam build"):
        template = functions.sam_build(env=env)
    with stage("sam deploy"):
        command = [str(python.with_name("sam")), *deploy_arguments(env, template)]
        # It may ask, so it keeps the terminal.
        if subprocess.call(command, cwd=ROOT, env=functions.tool_environment()):
            raise Problem("sam could not deploy; the reason is above")
    # It never expires: a log is no place for it.
    if not sys.stdout.isatty():
        print(f"a first API key, where no issuer of tokens is set: make key tenant={FIRST_TENANT} scope=manage env={env}")
        return
    first = stack_key(python, env, FIRST_TENANT, "manage", "--first")
    if first:
        print(f"\nThe first API key, shown this once. It may do everything with the monitors of the tenant {FIRST_TENANT}:\n\n    X-API-Key: {first}\n")


def stack_key(python: Path, env: str, tenant: str, scope: str, *options: str) -> str:
    command = [str(python), "-I", str(ROOT / "dev" / "stack_key.py"), stack_name(env), tenant, scope, *options]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if made.returncode:
        raise Problem("the API key could not be made; the reason is above")
    return made.stdout.strip()


def stack_name(env: str) -> str:
    section = functions.CONFIG.read_text(encoding="utf-8").split(f"[{env}.global.parameters]", 1)[1]
    return re.findall(r'^stack_name = "(.+)"$', section, re.MULTILINE)[0]


def python_for_aws(env: str) -> Path:
    """A Python with boto3, once it is known that somebody may use it."""
    if env not in environments():
        raise Problem(f"samconfig.toml has no environment {env!r}; there are {', '.join(environments())}")
    python = wheels.lambda_tools() / "python"
    if subprocess.run([str(python), "-I", "-c", CREDENTIALS], stdin=subprocess.DEVNULL, capture_output=True).returncode:
        raise Problem("AWS credentials or a region are missing: set AWS_PROFILE, or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION")
    return python


def deploy_arguments(env: str, template: Path) -> list[str]:
    return ["deploy", "--template-file", str(template), *functions.settings_of(env)]


def environments() -> list[str]:
    sections = re.findall(r"^\[([a-z0-9_-]+)\.", functions.CONFIG.read_text(encoding="utf-8"), re.MULTILINE)
    return list(dict.fromkeys(sections))


def command(arguments: list[str]) -> int:
    if len(arguments) == 4 and arguments[1] == "key":
        env, _, tenant, scope = arguments
        print(stack_key(python_for_aws(env), env, tenant, scope))
        return 0
    if len(arguments) > 1:
        raise Problem("usage: make deploy env=dev")
    deploy((arguments[0] if arguments else "") or DEFAULT)
    return 0


if __name__ == "__main__":
    main(command)
