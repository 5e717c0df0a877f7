"""Builds the functions for AWS and deploys the stack: python3 dev/deploy.py [ENV]

ENV is a section of samconfig.toml, `dev` without. docs/deploy.md says how the first time differs.
"""

from __future__ import annotations

import re
import subprocess
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


def deploy(env: str) -> None:
    if env not in environments():
        raise Problem(f"samconfig.toml has no environment {env!r}; there are {', '.join(environments())}")
    need_rust()
    python = wheels.lambda_tools() / "python"
    if subprocess.run([str(python), "-I", "-c", CREDENTIALS], stdin=subprocess.DEVNULL, capture_output=True).returncode:
        raise Problem("AWS credentials or a region are missing: set AWS_PROFILE, or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION")
    with stage("sam build"):
        template = functions.sam_build(env=env)
    with stage("sam deploy"):
        command = [str(python.with_name("sam")), *deploy_arguments(env, template)]
        # It may ask, so it keeps the terminal.
        if subprocess.call(command, cwd=ROOT, env=functions.tool_environment()):
            raise Problem("sam could not deploy; the reason is above")


def deploy_arguments(env: str, template: Path) -> list[str]:
    return ["deploy", "--template-file", str(template), *functions.settings_of(env)]


def environments() -> list[str]:
    sections = re.findall(r"^\[([a-z0-9_-]+)\.", functions.CONFIG.read_text(encoding="utf-8"), re.MULTILINE)
    return list(dict.fromkeys(sections))


def command(arguments: list[str]) -> int:
    if len(arguments) > 1:
        raise Problem("usage: make deploy env=dev")
    deploy((arguments[0] if arguments else "") or DEFAULT)
    return 0


if __name__ == "__main__":
    main(command)
