"""Holds docs/openapi.yaml against the API: the document by itself, what tests were answered, and what schemathesis finds on a running server."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Iterator

import wheels
from functions import build_for_tests
from postgres import Cluster, free_port
from run import END_LIMIT, KEY, binary, token
from tools import LOCAL, ROOT, Problem, call, end_process, say

# Where the end-to-end tests write down what they were answered.
ANSWERS = LOCAL / "answers"
TESTS = ROOT / "tests" / "openapi"
READY_LIMIT = 30.0
TENANT = "schemathesis"
# Things that stay, for operations to be about, and things that each deletion may take.
STAY, GO = 3, 60


def answers() -> None:
    """After the end-to-end tests."""
    python = _tool("python", "the answers of the tests beside docs/openapi.yaml")
    if python:
        call(python, "-m", "unittest", "discover", "--start-directory", str(TESTS), env={"CRONMON_ANSWERS": str(ANSWERS)})


def schemathesis() -> None:
    """With a fixed seed and bounds of its own: tests/openapi/schemathesis.toml."""
    program = _tool("schemathesis", "schemathesis")
    if not program:
        return
    build_for_tests()
    given = os.environ.get("TEST_DATABASE_URL")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = given or stack.enter_context(Cluster("test-postgres").use(fresh=True))
        bearer = token(TENANT)
        port = stack.enter_context(_cronmon(url, folder))
        api = Api(port, bearer)
        for name, values in fill(api).items():
            (folder / f"{name}.txt").write_text("".join(f'"{value}"\n' for value in values), encoding="utf-8")
        for file in TESTS.glob("schemathesis*"):
            shutil.copy(file, folder)
        env = {**os.environ, "CRONMON_URL": f"http://127.0.0.1:{port}", "CRONMON_TOKEN": bearer, "CRONMON_API_KEY": api.key, "COLUMNS": "150"}
        command = [program, "--config-file", str(folder / "schemathesis.toml"), "run", str(ROOT / "docs" / "openapi.yaml"), "--no-color"]
        done = subprocess.run(command, cwd=folder, env=env, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise Problem("schemathesis found something, see above")


def _tool(name: str, what: str) -> str | None:
    try:
        return str(wheels.openapi_tools() / name)
    except wheels.Missing as problem:
        say(f"skipped: {what} ({problem})")
        return None


@contextmanager
def _cronmon(url: str, folder: Path) -> Iterator[int]:
    """A server that reaches nothing beyond this machine; its port."""
    port, closed = free_port(), free_port()
    settings = {
        "DATABASE_URL": url,
        "KEYCLOAK_CERTS_URL": (KEY / "jwks.json").as_uri(),
        "PORT": str(port),
        "RUST_LOG": "warn",
        "ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
        "SLACK_API_URL": f"http://127.0.0.1:{closed}",
        "PING_LIMIT_PER_MINUTE": "1000000000",
    }
    command = [str(binary("cronmon"))]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd="/", env={"PATH": os.environ["PATH"], **settings}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + READY_LIMIT
        while not _is_ready(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise Problem("cronmon does not become ready:\n" + (folder / "log").read_text(encoding="utf-8", errors="replace"))
            time.sleep(0.05)
        yield port
    finally:
        end_process(server, END_LIMIT)
        errors = [line for line in (folder / "log").read_text(encoding="utf-8", errors="replace").splitlines() if " ERROR " in line]
        if errors:
            say("\n".join(["cronmon's log says:", *errors[:20]]))


def _is_ready(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/api/v1/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False


class Api:
    """Calls the API as one tenant."""

    def __init__(self, port: int, bearer: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.headers = {"Authorization": f"Bearer {bearer}"}
        # An API key of that tenant which may do everything.
        self.key = ""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        self.connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 204):
            raise Problem(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)["data"] if text else None

    def ping(self, url: str, body: str = "") -> None:
        self.connection.request("POST", url[url.index("/ping/") :], body)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise Problem(f"a ping was answered {answer.status}")


def fill(api: Api) -> dict[str, list[str]]:
    """Something of everything; the ids by the names of schemathesis.toml's dictionaries."""
    once = {"starts_at": "2026-01-01T00:00:00Z", "duration": 31_622_400, "tags": ["db"]}
    hook = {"webhook": {"url": f"http://127.0.0.1:{free_port()}/hook"}}
    monitors = [api.call("POST", "/monitors", {"name": f"monitor {n}", "schedule": {"every": 3600}, "tags": ["db"]}) for n in range(STAY + GO)]
    ids = {
        "monitor": [monitor["monitor_id"] for monitor in monitors],
        "alert_config": [api.call("POST", "/alert-configs", {"name": f"config {n}", "type": hook})["alert_config_id"] for n in range(STAY + GO // 2)],
        "window": [api.call("POST", "/maintenance-windows", once)["window_id"] for _ in range(STAY + GO // 2)],
        "ping_key": [api.call("POST", "/ping-keys", {"name": f"key {n}"})["ping_key_id"] for n in range(STAY + GO // 2)],
    }
    keys = [api.call("POST", "/keys", {"name": f"key {n}", "scope": "manage"}) for n in range(STAY + GO // 2)]
    ids["api_key"] = [key["api_key_id"] for key in keys]
    api.key = keys[0]["key"]
    api.headers["X-API-Key"] = api.key
    for monitor in monitors[:STAY]:
        history(api, monitor)
        api.call("POST", f"/monitors/{monitor['monitor_id']}/alert-configs", {"alert_config_ids": ids["alert_config"][:STAY]})
    of_jobs = ids["monitor"][0]
    for _ in range(GO):
        api.call("POST", f"/monitors/{of_jobs}/jobs/start")
    jobs, pings = (api.call("GET", f"/monitors/{of_jobs}/{what}") for what in ("jobs", "pings"))
    found = {"monitor_of_jobs": [of_jobs], "jobs": [job["job_id"] for job in jobs], "signals": [ping["signal_id"] for ping in pings]}
    for name, all_of_it in ids.items():
        found[f"{name}s"], found[f"{name}s_that_go"] = all_of_it[:STAY], all_of_it[STAY:]
    return found


def history(api: Api, monitor: dict[str, Any]) -> None:
    """Runs that ended well, failed, went on, and what is not a run."""
    path, url = f"/monitors/{monitor['monitor_id']}", monitor["ping_url"]
    for rest, body in (("/start", ""), ("", "fine"), ("/start", ""), ("/7", "out of memory"), ("/log", "a word"), ("/fail", "ü" * 20_000)):
        api.ping(url + rest, body)
    api.call("POST", f"{path}/pause", {"seconds": 60})
    api.call("POST", f"{path}/resume")
    api.call("POST", f"{path}/snooze", {"seconds": 60})
    finished = api.call("POST", f"{path}/jobs/start")["job_id"]
    api.call("POST", f"{path}/jobs/{finished}/finish", {"succeeded": True, "output": "well"})
    for _ in range(3):
        api.ping(url + "/start")

