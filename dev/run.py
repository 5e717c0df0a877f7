"""Builds CronMon and runs it on this machine: `make run` and the commands that need the same database.

    python3 dev/run.py serve [--debug]
    python3 dev/run.py token TENANT
    python3 dev/run.py key TENANT SCOPE [ENV]
    python3 dev/run.py migrate up|revert|redo
    python3 dev/run.py import             (from the database that FROM names)
    python3 dev/run.py seed [TENANT] [--yes]

DATABASE_URL chooses another database, KEYCLOAK_CERTS_URL real tokens instead of development ones, PORT another port than 8000.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from postgres import Cluster, is_free
from tools import LOCAL, ROOT, TARGET, Problem, Stop, main, need_rust, say, stage

KEY = LOCAL / "dev-key"
TOKEN_TOOL = "cronmon-dev-token"
SCOPES = ("ping", "read", "manage")
# What a clean end may take: the requests and deliveries under way.
END_LIMIT = 10.0


def serve(debug: bool) -> int:
    need_rust()
    port = wanted_port()
    with database(stop=True) as url:
        with stage("build"):
            build("cronmon", TOKEN_TOOL, debug=debug)
        env = {**os.environ, "DATABASE_URL": url, "PORT": port}
        # So that webhooks to this machine work.
        env.setdefault("ALLOWED_NETWORKS", "127.0.0.0/8,::1/128")
        env.setdefault("SPOOL_DIR", str(LOCAL / "spool"))
        if not env.get("KEYCLOAK_CERTS_URL"):
            token("dev", debug)  # makes the key at first start
            env["CRONMON_TOKEN_COMMAND"] = f"make -sC {shlex.quote(str(ROOT))} token"
            env["KEYCLOAK_CERTS_URL"] = (KEY / "jwks.json").as_uri()
        return watch(subprocess.Popen([str(binary("cronmon", debug))], cwd=ROOT, env=env))


def watch(child: subprocess.Popen[bytes]) -> int:
    """Waits for the server; passes a signal on and waits for its clean end."""
    try:
        child.wait()
        # The ctrl-C that ended the child may reach us a moment after it.
        time.sleep(0.1)
    except Stop as stop:
        try:
            end(child, stop.number)
        except Stop:
            say("killed")
            child.kill()
        return 0
    if child.returncode < 0:
        say(f"cronmon was killed by signal {-child.returncode} ({signal.Signals(-child.returncode).name})")
    else:
        say(f"cronmon ended by itself with exit status {child.returncode}")
    return 1


def end(child: subprocess.Popen[bytes], number: int) -> None:
    try:
        if number == signal.SIGINT:
            # The terminal sends ctrl-C to the child too; a signal to us alone is passed on after this time.
            child.wait(2)
    except subprocess.TimeoutExpired:
        pass
    child.terminate()
    try:
        child.wait(END_LIMIT)
    except subprocess.TimeoutExpired:
        say(f"cronmon did not end within {END_LIMIT:.0f} s: killed")
        child.kill()


@contextmanager
def database(stop: bool) -> Iterator[str]:
    """DATABASE_URL, else this checkout's own PostgreSQL, which stops afterwards: always, or only if it did not run before."""
    given = os.environ.get("DATABASE_URL")
    if given:
        yield given
        return
    began = time.monotonic()
    with Cluster("postgres").use(keep=not stop) as url:
        say(f"== postgres: {time.monotonic() - began:.1f} s")
        yield url


def wanted_port(command: str = "make run") -> str:
    port = os.environ.get("PORT") or "8000"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise Problem(f"PORT={port} is not a port: a number from 1 to 65535")
    if not is_free(int(port)):
        other = int(port) + 1 if int(port) < 65535 else 8000
        raise Problem(f"port {port} is taken; PORT={other} {command} takes another")
    return port


def build(*names: str, debug: bool = False, quiet: bool = False) -> None:
    options = [] if debug else ["--release"]
    options += ["--quiet"] if quiet else []
    # By package: looking for a binary in the whole workspace would bring in what only the Lambda functions need.
    packages = {"cronmon": "cronmon-local"}
    command = ["cargo", "build", "--locked", *options, *(part for name in names for part in ("--package", packages.get(name, name)))]
    # cargo says everything on stderr, also on a terminal.
    if subprocess.call(command, cwd=ROOT, stdin=subprocess.DEVNULL):
        raise Problem("cargo could not build CronMon; the reason is above")


def binary(name: str, debug: bool = False) -> Path:
    return TARGET / ("debug" if debug else "release") / name


def token(tenant: str, debug: bool = False) -> str:
    """Signs a token; the first call makes the key and its jwks.json."""
    LOCAL.mkdir(exist_ok=True)
    command = [str(binary(TOKEN_TOOL, debug)), "--dir", str(KEY), "--tenant", tenant]
    tool = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if tool.returncode:
        raise Problem(f"{TOKEN_TOOL} failed with exit status {tool.returncode}")
    return tool.stdout.strip()


def print_token(tenant: str) -> int:
    if not binary(TOKEN_TOOL).exists():
        need_rust()
        build(TOKEN_TOOL, quiet=True)
    print(token(tenant))
    return 0


def print_key(tenant: str, scope: str) -> int:
    if scope not in SCOPES:
        raise Problem(f"scope={scope} is none: {', '.join(SCOPES)}")
    return on_database("key", tenant, scope)


def on_database(*arguments: str) -> int:
    """cronmon with these arguments, on DATABASE_URL or the database of `make run`."""
    need_rust()
    with database(stop=False) as url:
        build("cronmon", quiet=True)
        try:
            return subprocess.call([str(binary("cronmon")), *arguments], cwd=ROOT, env={**os.environ, "DATABASE_URL": url})
        except Stop:
            # The terminal sends ctrl-C to the child too, which leaves nothing half done.
            return 130


def command(arguments: list[str]) -> int:
    if arguments in (["serve"], ["serve", "--debug"]):
        try:
            return serve(debug="--debug" in arguments)
        except Stop:
            # Ctrl-C is how make run ends; make would report any other status as an error.
            return 0
    if len(arguments) == 2 and arguments[0] == "token":
        return print_token(arguments[1] or "dev")
    if len(arguments) in (3, 4) and arguments[0] == "key":
        tenant, scope = arguments[1] or "dev", arguments[2] or SCOPES[0]
        if len(arguments) == 4 and arguments[3]:
            return subprocess.call([sys.executable, str(ROOT / "dev" / "deploy.py"), arguments[3], "key", tenant, scope])
        return print_key(tenant, scope)
    if len(arguments) == 2 and arguments[0] == "migrate" and arguments[1] in ("up", "revert", "redo"):
        return on_database(*arguments)
    if arguments == ["import"]:
        # By the environment, for what stands in a command line everybody on this machine sees.
        if not os.environ.get("FROM"):
            raise Problem("make import FROM=postgres://user:password@host/name: the database of the original CronMon")
        return on_database(*arguments)
    if arguments[:1] == ["seed"]:
        return on_database("seed", *(part for part in arguments[1:] if part))
    raise Problem("usage: python3 dev/run.py serve [--debug] | token TENANT | key TENANT SCOPE [ENV] | migrate up|revert|redo | import | seed [TENANT] [--yes]")


if __name__ == "__main__":
    main(command)
