"""A PostgreSQL of this checkout's own, on 127.0.0.1, with its data in .local/NAME.

    python3 dev/postgres.py start|stop|url|status|psql|delete NAME

`start` prints the URL on stdout and nothing else there. NAME is `postgres` (make run: durable), `test-postgres`
(make test: fast, made anew for each run), or one of those that tests start, kill and delete (make test-all: durable).
dev/servers.py says which PostgreSQL that is.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

from servers import Account, Server, as_user, check, choose, environment, make_outside, outside, run, server_account
from tools import LOCAL, ROOT, Problem, lock, main, say, try_lock, uninterrupted

# A test cluster is thrown away, so it need not survive a crash.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}
CHAOS = {"max_connections": "200"}
CLUSTERS: dict[str, dict[str, str]] = {"postgres": {}, "test-postgres": FAST, "chaos-postgres": CHAOS, "chaos-lambda-postgres": CHAOS}
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
        # It names a crashed server; if the number is in use again (or a zombie, or the file is empty) PostgreSQL would refuse
        # to start. Children that still run are found without it, by their shared memory.
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

    def _becomes_ready(self, process: subprocess.Popen[Any], data: Path, deadline: float) -> bool:
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
        known: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8"))
        return known

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
    """The process that serves the data. After a crash or a reboot its number may belong to another program."""
    first = pid_file(data)[:1]
    pid = int(first[0]) if first and first[0].isdigit() else None
    return pid if pid and f"-D {data} " in f"{command_line(pid)} " else None


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


def home(account: Account) -> Path:
    """Where new data goes: .local, or a folder elsewhere if the account cannot enter .local (a checkout in /root)."""
    return LOCAL if run(account, ["test", "-x", str(LOCAL)]).returncode == 0 else make_outside()


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
