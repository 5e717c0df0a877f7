"""Calls the package healthchecks-io: healthchecks_io_calls.py PING_URL PING_KEY, with calls on stdin and what became of them on stdout, both JSON.

A call is ["success_ping", {"uuid": ...}], or ["trap", {"uuid": ..., "log": ..., "raises": ...}] for its context manager; what became of one is
what it returned, or {"raised": <class>}.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from healthchecks_io import CheckTrap, Client


class JobFailed(Exception):
    """What the job inside a trap raises."""


def trap(client: Client, uuid: str, log: str, raises: str | None = None) -> None:
    with CheckTrap(client, uuid) as trapped:
        trapped.add_log(log)
        if raises:
            raise JobFailed(raises)


def outcome(client: Client, name: str, arguments: dict[str, Any]) -> Any:
    try:
        return trap(client, **arguments) if name == "trap" else getattr(client, name)(**arguments)
    except Exception as error:
        return {"raised": type(error).__name__}


def main(ping_url: str, ping_key: str) -> None:
    with Client(ping_url=ping_url, ping_key=ping_key) as client:
        outcomes = [outcome(client, name, arguments) for name, arguments in json.load(sys.stdin)]
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
