"""How fast the functions start, beside one that does nothing: `make bench-cold`. bench/README.md says how to read it."""

from __future__ import annotations

import json
import os
import random
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any, Iterator

import functions
import postgres
from aws import sample
from moto import QUEUES
from run import KEY, TOKEN_TOOL, binary, token
from run import build as build_tool
from servers import server_account
from tools import LOCAL, ROOT, Problem, main, need_rust, say, stage, uninterrupted

ROUNDS = 30
# After this no round begins.
TIME_LIMIT = 150.0
ANSWER_LIMIT = 15.0
# What the project promises of ping, times the empty function, and of all.
NEXT_LIMIT = 2.0
RSS_LIMIT = 30.0
RESULTS = ROOT / "bench" / "results" / "cold.json"
EMPTY = "empty"
NAMES = (EMPTY, *functions.NAMES)
# They connect before they ask for work; the others do it later, or never.
CONNECTING = ("api", "ping", "late-check", "notify")
# The database: nobody listens; as on AWS; without TLS.
REFUSED, TLS, PLAIN = "refused", "tls", "plain"
CLUSTER = "bench-postgres"
RUNTIME = "/2018-06-01/runtime"
PING_ID = "00000000-0000-4000-8000-000000000001"
# What Lambda sets; the settings of the functions come on top.
LAMBDA = {
    "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_FUNCTION_NAME": "cronmon",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_LAMBDA_LOG_FORMAT": "JSON",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/cronmon",
    "AWS_LAMBDA_LOG_LEVEL": "INFO",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/22/[$LATEST]0",
    "AWS_SESSION_TOKEN": "token",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LANG": "en_US.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
    "TZ": ":UTC",
    "_HANDLER": "bootstrap",
}


@dataclass
class Request:
    """What a process asked, and when the last byte of it was here."""

    at: int
    method: str
    path: str
    body: bytes


@dataclass
class Start:
    next_ms: float
    next_cpu_ms: float
    first_answer_ms: float = 0.0
    rss_mb: float = 0.0
    answer: Any = None


@dataclass
class Result:
    next_ms: float
    next_cpu_ms: float
    connect_ms: float | None
    connect_plain_ms: float | None
    first_answer_ms: float
    rss_mb: float
    bytes: int
    zip_bytes: int


@dataclass
class Setting:
    """The environment of the functions by the database that they get, and the events."""

    binaries: dict[str, Path]
    variables: dict[str, dict[str, str]]
    log: IO[bytes]
    events: dict[str, dict[str, Any]] = field(default_factory=dict)


class Interface:
    """Lambda's end of one process: what it asks over HTTP, be it of the runtime interface or of CloudFormation."""

    def __init__(self, process: subprocess.Popen[bytes], listener: socket.socket) -> None:
        self.process, self.listener = process, listener
        self.received: dict[socket.socket, bytes] = {}
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ)

    def close(self) -> None:
        self.selector.close()
        for connection in self.received:
            connection.close()

    def await_next(self) -> Request:
        """The process asks for work; it gets none before `invoke`."""
        connection, request = self._receive()
        if (request.method, request.path) != ("GET", f"{RUNTIME}/invocation/next"):
            raise Problem(f"instead of asking for work it sent {request.method} {request.path}: {request.body.decode(errors='replace')}")
        self.waiting = connection
        return request

    def invoke(self, event: dict[str, Any]) -> tuple[float, Any]:
        """How many milliseconds the answer took, and the answer."""
        body = json.dumps(event).encode()
        deadline = int((time.time() + 300) * 1000)
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            "Lambda-Runtime-Deadline-Ms": str(deadline),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:cronmon",
            "Lambda-Runtime-Trace-Id": "Root=1-6b023914-5f84c7e20b9d1a3650e4c8f7;Parent=5f84c7e20b9d1a36;Sampled=0",
        }
        sent = time.monotonic_ns()
        _reply(self.waiting, "200 OK", headers, body)
        while True:
            connection, request = self._receive()
            _reply(connection, "202 Accepted", {}, b"")
            if request.path.endswith("/response"):
                return (request.at - sent) / 1e6, json.loads(request.body)
            # CloudFormation's answer comes before the function's own.
            if request.method != "PUT" or json.loads(request.body)["Status"] != "SUCCESS":
                raise Problem(f"instead of answering it sent {request.method} {request.path}: {request.body.decode(errors='replace')}")

    def _receive(self) -> tuple[socket.socket, Request]:
        deadline = time.monotonic() + ANSWER_LIMIT
        while time.monotonic() < deadline and self.process.poll() is None:
            for key, _ in self.selector.select(0.5):
                now = time.monotonic_ns()
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if connection is self.listener:
                    self._accept()
                    continue
                request = self._read(connection, now)
                if request:
                    return connection, request
        ended = self.process.poll()
        raise Problem(f"it did not ask within {ANSWER_LIMIT:.0f} s" if ended is None else f"it ended with exit status {ended}")

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        self.received[connection] = b""
        self.selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket, now: int) -> Request | None:
        data = connection.recv(1 << 16)
        if not data:
            self.selector.unregister(connection)
            del self.received[connection]
            connection.close()
            return None
        self.received[connection] += data
        head, end, body = self.received[connection].partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not end or len(body) < (int(length.group(1)) if length else 0):
            return None
        self.received[connection] = b""
        method, path, _ = head.decode().split(" ", 2)
        return Request(now, method, path, body)


def _reply(connection: socket.socket, status: str, headers: dict[str, str], body: bytes) -> None:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items()), f"Content-Length: {len(body)}", "", ""]
    connection.sendall("\r\n".join(lines).encode() + body)


def start(setting: Setting, name: str, database: str, event: dict[str, Any] | None) -> Start:
    """Starts a function as Lambda does and, with an event, awaits its answer."""
    setting.log.seek(0)
    setting.log.truncate()
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener, _process(setting, name, database, listener) as (process, began):
            interface = Interface(process, listener)
            try:
                measured = _observe(interface, process.pid, began, event)
            finally:
                interface.close()
        _check(setting, name, database, measured.answer)
    except Problem as problem:
        raise Problem(f"{name}, database {database}: {problem}\n{_said(setting)}".strip()) from None
    return measured


def _observe(interface: Interface, pid: int, began: tuple[int, int], event: dict[str, Any] | None) -> Start:
    at = interface.await_next().at
    # It is on its way to sleep.
    time.sleep(0.003)
    start = Start((at - began[0]) / 1e6, (_cpu_ns(pid) - began[1]) / 1e6)
    if event is not None:
        if "ResponseURL" in event:
            port = interface.listener.getsockname()[1]
            event = {**event, "ResponseURL": f"http://127.0.0.1:{port}/answer"}
        start.first_answer_ms, start.answer = interface.invoke(event)
        interface.await_next()
        start.rss_mb = _peak_rss_mb(pid)
    return start


@contextmanager
def _process(setting: Setting, name: str, database: str, listener: socket.socket) -> Iterator[tuple[subprocess.Popen[bytes], tuple[int, int]]]:
    """A function, with the time and the CPU time at its exec."""
    host, port = listener.getsockname()
    env = {**LAMBDA, **setting.variables[database], "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}"}
    read, write = os.pipe()

    def stamp() -> None:
        os.write(write, b"%d %d" % (time.monotonic_ns(), time.thread_time_ns()))

    try:
        # The stamp is the last that the child does before it becomes the function.
        process = subprocess.Popen(
            [str(setting.binaries[name])],
            cwd="/", env=env, stdin=subprocess.DEVNULL, stdout=setting.log, stderr=setting.log, preexec_fn=stamp,
        )  # fmt: skip
        moment, cpu = os.read(read, 100).split()
    finally:
        os.close(read)
        os.close(write)
    try:
        yield process, (int(moment), int(cpu))
    finally:
        with uninterrupted():
            process.kill()
            process.wait()


def _cpu_ns(pid: int) -> int:
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def _peak_rss_mb(pid: int) -> float:
    peak = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if not peak:
        raise Problem("the system does not tell its peak RSS")
    return int(peak.group(1)) / 1024


def _check(setting: Setting, name: str, database: str, answer: Any) -> None:
    """It did what is measured: tried to connect and could not, or did and answered well."""
    if isinstance(answer, dict) and answer.get("statusCode", 200) not in (200, 201):
        raise Problem(f"it answered {answer}")
    if database == REFUSED:
        if "no database connection at the start" not in _said(setting):
            raise Problem("it did not try to connect at its start")
    elif '"ERROR"' in _said(setting):
        raise Problem("it logged an error")


def _said(setting: Setting) -> str:
    setting.log.seek(0)
    return setting.log.read().decode(errors="replace").strip()


def build() -> dict[str, Path]:
    # Apart, so that nothing which the functions link changes what the empty one does.
    return {**_cargo_build("cronmon-bench-empty"), **_cargo_build(*(f"cronmon-{name}" for name in functions.NAMES))}


def _cargo_build(*packages: str) -> dict[str, Path]:
    # With a target, because cargo lambda keeps folders of the same names where the binaries would be without one.
    command = ["cargo", "build", "--profile", "lambda", "--locked", "--target", "host-tuple", "--bins", "--message-format", "json-render-diagnostics"]
    command += [part for package in packages for part in ("--package", package)]
    cargo = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if cargo.returncode:
        raise Problem("cargo could not build the functions; the reason is above")
    built = [json.loads(line) for line in cargo.stdout.splitlines()]
    return {each["target"]["name"]: Path(each["executable"]) for each in built if each.get("executable")}


@contextmanager
def unpacked(binaries: dict[str, Path]) -> Iterator[dict[str, Path]]:
    """Copies written in one go, as Lambda unpacks them: how a linker writes a file makes starts slower by chance. No build changes them."""
    LOCAL.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-bin.", dir=LOCAL) as folder:
        yield {name: Path(shutil.copy(path, Path(folder) / name)) for name, path in binaries.items()}


@contextmanager
def database() -> Iterator[tuple[str, str]]:
    """A PostgreSQL made for the run that speaks TLS too; its URL, and the CA that vouches for it."""
    account = server_account()
    LOCAL.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-tls.", dir=postgres.home(account)) as name:
        folder = Path(name)
        _make_certificates(folder)
        if account:
            for path in (folder, folder / "server.pem", folder / "server.key"):
                os.chown(path, account["user"], account["group"])
        files = {"ssl_cert_file": str(folder / "server.pem"), "ssl_key_file": str(folder / "server.key")}
        postgres.CLUSTERS[CLUSTER] = {**postgres.FAST, "ssl": "on", **files}
        cluster = postgres.Cluster(CLUSTER)
        try:
            with cluster.use(fresh=True) as url:
                yield url, (folder / "ca.pem").read_text(encoding="utf-8")
        finally:
            with uninterrupted():
                cluster.delete()


def _make_certificates(folder: Path) -> None:
    """A CA, and a certificate of the server with a key as long as those of RDS."""
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n", encoding="utf-8")
    _openssl(folder, "req -x509 -newkey rsa:2048 -nodes -subj /CN=bench-ca -days 2 -keyout ca.key -out ca.pem")
    _openssl(folder, "req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr")
    _openssl(folder, "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem")
    (folder / "server.key").chmod(0o600)


def _openssl(folder: Path, arguments: str) -> None:
    made = subprocess.run(["openssl", *arguments.split()], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if made.returncode:
        raise Problem(f"openssl failed: {made.stderr.strip()}")


@contextmanager
def prepared(binaries: dict[str, Path]) -> Iterator[Setting]:
    """A database with the schema and a monitor, and the events that the functions get."""
    authorization = f"Bearer {token('bench')}"
    with ExitStack() as stack:
        url, ca = stack.enter_context(database())
        nobody = stack.enter_context(socket.socket())
        # Bound and not listening: it refuses, and nobody else gets it.
        nobody.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{nobody.getsockname()[1]}"
        refused = re.sub(r"127\.0\.0\.1:\d+", host, url)
        urls = {REFUSED: f"{refused}?sslmode=require", TLS: f"{url}?sslmode=require", PLAIN: url}
        variables = {kind: _variables(each, ca, f"http://{host}") for kind, each in urls.items()}
        setting = Setting(binaries, variables, stack.enter_context(tempfile.TemporaryFile()))
        setting.events["migrate"] = sample("migrate-create")
        start(setting, "migrate", TLS, setting.events["migrate"])
        create = _signed(sample("api-post-monitor-base64"), authorization)
        monitor = json.loads(start(setting, "api", TLS, create).answer["body"])["data"]
        ping_id = monitor["ping_url"].rsplit("/", 1)[1]
        setting.events |= {
            EMPTY: sample("ping-get"),
            "api": _signed(sample("api-get-monitors"), authorization),
            "ping": json.loads(json.dumps(sample("ping-get")).replace(PING_ID, ping_id)),
            "late-check": sample("late-check-schedule"),
            "notify": sample("notify-deliveries"),
        }
        yield setting


def _variables(database_url: str, ca: str, sqs: str) -> dict[str, str]:
    queues = {name: f"{sqs}/{name}" for name in QUEUES}
    settings = functions.settings(database_url, queues, sqs, (KEY / "jwks.json").as_uri(), "https://cronmon.example", "")
    return {**settings, "DATABASE_CA": ca, "METRICS_STACK": "cronmon"}


def _signed(event: dict[str, Any], authorization: str) -> dict[str, Any]:
    return {**event, "headers": {**event["headers"], "authorization": authorization}}


def go_first() -> None:
    """Lets this process and all that it starts run before what else is busy here, if it may (as root)."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        pass


def measure(setting: Setting) -> dict[tuple[str, str], list[Start]]:
    """Every function with every database, in rounds, so that what disturbs meets all alike."""
    kinds = [(name, database) for name in NAMES for database in ((REFUSED, TLS, PLAIN) if name in CONNECTING else (TLS,))]
    starts: dict[tuple[str, str], list[Start]] = {kind: [] for kind in kinds}
    deadline = time.monotonic() + TIME_LIMIT
    for done in range(ROUNDS):
        if time.monotonic() > deadline:
            say(f"stopped after {done} of {ROUNDS} rounds: the machine is too busy")
            break
        for name, database in random.sample(kinds, len(kinds)):
            event = setting.events[name] if database == TLS else None
            starts[name, database].append(start(setting, name, database, event))
    return starts


def result(name: str, starts: dict[tuple[str, str], list[Start]], path: Path) -> Result:
    def middle(database: str, what: str) -> float:
        return float(median(getattr(each, what) for each in starts[name, database]))

    def added(database: str) -> float | None:
        return round(middle(database, "next_ms") - middle(REFUSED, "next_ms"), 2) if name in CONNECTING else None

    alone = REFUSED if name in CONNECTING else TLS
    return Result(
        next_ms=round(middle(alone, "next_ms"), 2),
        next_cpu_ms=round(middle(alone, "next_cpu_ms"), 2),
        connect_ms=added(TLS),
        connect_plain_ms=added(PLAIN),
        first_answer_ms=round(middle(TLS, "first_answer_ms"), 2),
        rss_mb=round(middle(TLS, "rss_mb"), 1),
        bytes=path.stat().st_size,
        zip_bytes=zipped_size(path),
    )


def zipped_size(path: Path) -> int:
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.write(path, "bootstrap")
        return file.tell()


def table(results: dict[str, Result]) -> str:
    empty = results[EMPTY]
    rows = [["", "next ms", "x empty", "CPU ms", "x empty", "TLS ms", "plain ms", "answer ms", "RSS MB", "MB", "zip MB"]]
    for name, each in results.items():
        rows.append([
            name, f"{each.next_ms:.2f}", f"{each.next_ms / empty.next_ms:.2f}", f"{each.next_cpu_ms:.2f}", f"{each.next_cpu_ms / empty.next_cpu_ms:.2f}",
            _added(each.connect_ms), _added(each.connect_plain_ms), f"{each.first_answer_ms:.2f}", f"{each.rss_mb:.1f}",
            f"{each.bytes / 1e6:.2f}", f"{each.zip_bytes / 1e6:.2f}",
        ])  # fmt: skip
    return "\n".join(f"{row[0]:10}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)


def _added(ms: float | None) -> str:
    return "-" if ms is None else f"+{ms:.2f}"


def verdict(results: dict[str, Result]) -> str:
    ratio = results["ping"].next_ms / results[EMPTY].next_ms
    name, largest = max(results.items(), key=lambda item: item[1].rss_mb)
    return (
        f"limits: ping's next at most {NEXT_LIMIT:g} times empty's: {ratio:.2f}, {_holds(ratio <= NEXT_LIMIT)}; "
        f"peak RSS at most {RSS_LIMIT:g} MB: {largest.rss_mb:.1f} ({name}), {_holds(largest.rss_mb <= RSS_LIMIT)}"
    )


def _holds(holds: bool) -> str:
    return "holds" if holds else "DOES NOT HOLD"


def command(arguments: list[str]) -> int:
    if arguments:
        raise Problem("usage: make bench-cold")
    if sys.platform != "linux":
        raise Problem("make bench-cold needs Linux: it reads /proc")
    if not shutil.which("openssl"):
        raise Problem("openssl is missing (on Debian and Ubuntu: apt install openssl)")
    need_rust()
    with stage("build"):
        binaries = build()
        if not binary(TOKEN_TOOL).exists():
            build_tool(TOKEN_TOOL, quiet=True)
    go_first()
    with stage(f"start each function {ROUNDS} times"), unpacked(binaries) as copies, prepared(copies) as setting:
        starts = measure(setting)
    results = {name: result(name, starts, binaries[name]) for name in NAMES}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({name: asdict(each) for name, each in results.items()}, indent=2) + "\n", encoding="utf-8")
    print(f"{table(results)}\n\n{verdict(results)}")
    return 0


if __name__ == "__main__":
    main(command)
