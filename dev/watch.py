"""The functions on this machine as Lambda developers run them, with a moto server as SQS and AWS's clock and triggers played.

    python3 dev/watch.py watch [SECONDS]   by cargo lambda watch: no Docker, and edits are built when the next request comes
    python3 dev/watch.py sam [SECONDS]     by sam local, in containers

SECONDS: how often late-check is invoked (10; on AWS 60). DATABASE_URL, KEYCLOAK_CERTS_URL and PORT as for make run.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any, Callable, Iterator

import functions
import sam_local
import wheels
from aws import Inbox, invoker, played
from moto import create_queues, moto
from postgres import free_port
from run import KEY, TOKEN_TOOL, binary, build, database, token, wanted_port
from tools import ROOT, Problem, Stop, call, end_session, main, need_rust, say, stage, uninterrupted

SECONDS = "10"
START_LIMIT = 60.0
# The first answer may wait for a build.
ANSWER_LIMIT = 600.0
LEAVE_LIMIT = 5.0
INBOX = "inbox"
OWN_INBOX = "make watch"
JSON = {"Content-Type": "application/json"}


def watch(seconds: float) -> int:
    port = wanted_port("make watch")
    bin = wheels.lambda_tools()
    with ExitStack() as stack:
        url = stack.enter_context(prepared(functions.build_for_tests))
        endpoint = stack.enter_context(moto())
        queues = create_queues(endpoint)
        inbox = stack.enter_context(Inbox("127.0.0.1"))
        address = f"http://127.0.0.1:{port}"
        settings = functions.settings(url, queues, endpoint, certs_url(), address, networks("127.0.0.0/8,::1/128"))
        command = [str(bin / "cargo-lambda"), "lambda", "watch", "--release", "--invoke-address", "127.0.0.1", "--invoke-port", port]
        # Of the profile that the tests use: what is there is used again.
        env = {**os.environ, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}", **settings}
        server = stack.enter_context(running(command, env))
        return attend(stack, server, address, address, {}, endpoint, queues, inbox, seconds)


def sam(seconds: float) -> int:
    port = wanted_port("make sam")
    sam_local.need_engine()
    with ExitStack() as stack:
        url = stack.enter_context(prepared(lambda: build("cronmon", TOKEN_TOOL)))
        with stage("sam build"):
            functions.sam_build(functions.architecture())
        host = stack.enter_context(sam_local.reachable())
        endpoint = stack.enter_context(moto())
        queues = create_queues(endpoint)
        inbox = stack.enter_context(Inbox("127.0.0.1", KEY / "jwks.json"))
        address = f"http://127.0.0.1:{port}"
        certs = os.environ.get("KEYCLOAK_CERTS_URL") or host.url(inbox.keys_url)
        settings = functions.settings(host.database(url), queues, host.url(endpoint), certs, address, networks(sam_local.NETWORKS))
        template = sam_local.template_with(settings)
        invoke_port = str(free_port())
        # Kept warm, or each request would wait for a container.
        warm, env = ("--warm-containers", "LAZY"), sam_local.environment()
        # Several lines for each invocation, between which alerts would be lost.
        log = stack.enter_context(open(sam_local.LOG, "wb"))
        say(f"what sam local and the functions say is in {sam_local.LOG.relative_to(ROOT)}")
        stack.enter_context(running(sam_local.command("start-lambda", template, "--port", invoke_port, *warm), env, log))
        server = stack.enter_context(running(sam_local.command("start-api", template, "--port", port, *warm), env, log))
        inbox.url = host.url(inbox.url)
        return attend(stack, server, address, f"http://127.0.0.1:{invoke_port}", functions.LOGICAL, endpoint, queues, inbox, seconds)


def attend(
    stack: ExitStack, server: subprocess.Popen[bytes], address: str, invoke_address: str, names: dict[str, str], endpoint: str,
    queues: dict[str, str], inbox: Inbox, seconds: float,
) -> int:  # fmt: skip
    """Waits until the server answers, says how to use it, and plays AWS until it ends or we are told to."""
    await_answer(server, f"{address}/api/v1/health")
    if not os.environ.get("KEYCLOAK_CERTS_URL"):
        stack.enter_context(seeded_inbox(address, inbox.url))
    invoke = invoker(invoke_address, names)
    stack.enter_context(played(invoke, endpoint, queues, seconds))
    welcome(address, seconds)
    server.wait()
    raise Problem(f"the functions' server ended by itself with exit status {server.returncode}")


@contextmanager
def prepared(builds: Callable[[], None]) -> Iterator[str]:
    """The database with today's schema, and a key for tokens."""
    with database(stop=True) as url:
        with stage("build"):
            builds()
        call(str(binary("cronmon")), "migrate", "up", env={"DATABASE_URL": url})
        token("dev")  # makes the key at first start
        yield url


@contextmanager
def running(command: list[str], env: dict[str, str], log: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """In a session of its own: ctrl-C in the terminal is for us, who then end it with all that it started."""
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        with uninterrupted():
            end_session(process)


def await_answer(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_LIMIT
    while True:
        try:
            urllib.request.urlopen(url, timeout=ANSWER_LIMIT).close()
            return
        except urllib.error.HTTPError as error:
            raise Problem(f"{url} answers {error.code}: {error.read().decode(errors='replace')[:300]}") from None
        except OSError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise Problem(f"{url} does not answer: {error}") from None
            time.sleep(0.1)


@contextmanager
def seeded_inbox(address: str, url: str) -> Iterator[None]:
    """Gives the tenant `dev` an alert config that leads to our inbox, unless make run gave it one, which then leads to ours."""
    configs = {config["name"]: config["alert_config_id"] for config in api(address, "GET", "alert-configs")["data"]}
    wanted = {"name": OWN_INBOX, "default": True, "type": {"webhook": {"url": url}}}
    if INBOX in configs:
        # make run moves it back.
        api(address, "PATCH", f"alert-configs/{configs[INBOX]}", {**wanted, "name": INBOX})
        yield
        return
    if OWN_INBOX in configs:
        own = configs[OWN_INBOX]
        api(address, "PATCH", f"alert-configs/{own}", wanted)
    else:
        own = api(address, "POST", "alert-configs", wanted)["data"]["alert_config_id"]
    try:
        yield
    finally:
        with uninterrupted():
            # Left behind, it would lead nowhere; one that is gets today's URL at the next start.
            with suppress(Problem, OSError):
                api(address, "DELETE", f"alert-configs/{own}", limit=LEAVE_LIMIT)


def api(address: str, method: str, path: str, body: Any = None, limit: float = ANSWER_LIMIT) -> Any:
    headers = {**JSON, "Authorization": f"Bearer {token('dev')}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/api/v1/{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=limit) as answer:
            text = answer.read()
            return json.loads(text) if text.strip() else None
    except urllib.error.HTTPError as error:
        raise Problem(f"{method} {path} answers {error.code}: {error.read().decode(errors='replace')[:300]}") from None


def certs_url() -> str:
    return os.environ.get("KEYCLOAK_CERTS_URL") or (KEY / "jwks.json").as_uri()


def networks(own: str) -> str:
    return os.environ.get("ALLOWED_NETWORKS") or own


def welcome(address: str, seconds: float) -> None:
    token_command = f"make -sC {shlex.quote(str(ROOT))} token"
    print(f"""
CronMon's functions answer on {address}; late-check is invoked every {seconds:g} s (on AWS 60), so lateness is seen that late.

Paste these into another terminal; alerts appear in this one.

1. A monitor that expects a ping every 5 seconds and waits 2 more:

PING=$(curl -s {address}/api/v1/monitors -H "Authorization: Bearer $({token_command})" \\
  -d '{{"name": "demo", "schedule": {{"every": 5}}, "grace_duration": 2}}' |
  grep -o 'http[^"]*/ping/[0-9a-f-]*' | head -n 1); echo $PING

2. A job that succeeds. If nothing more comes, it is late 7 seconds after:

curl $PING

3. A job that ends with exit status 1:

curl $PING/1

ctrl-C stops everything.
""", flush=True)  # fmt: skip


def command(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2) or arguments[0] not in ("watch", "sam"):
        raise Problem("usage: python3 dev/watch.py watch|sam [SECONDS]")
    wanted = (arguments[1] if len(arguments) > 1 else "") or SECONDS
    if not wanted.isdecimal() or int(wanted) < 1:
        raise Problem(f"seconds={wanted} is not a number of seconds")
    need_rust()
    try:
        return watch(float(wanted)) if arguments[0] == "watch" else sam(float(wanted))
    except Stop:
        # Ctrl-C is how it ends; make would report any other status as an error.
        return 0


if __name__ == "__main__":
    main(command)
