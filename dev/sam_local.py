"""The functions in containers, by sam local, and the stage that tries each of them there. It needs a Docker engine."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Iterator

import functions
import wheels
from aws import Inbox, sample
from forward import forwarded
from moto import CREDENTIALS, Sqs, create_queues, moto
from postgres import Cluster, free_port
from run import KEY, token
from tools import LOCAL, ROOT, Problem, call, end_session, say, uninterrupted

# Where a machine has neither an engine nor a registry, this brings both.
PREPARE = ROOT.parent / "shared" / "sam-local" / "prepare"
IMAGE = "public.ecr.aws/lambda/provided:al2023"
# Where containers may find webhooks: the networks that Docker gives to bridges.
NETWORKS = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"
# Sets variables of every function of a template, also those that it does not name, and for which machine they were built.
ADD_VARIABLES = """
import json, sys, yaml
template = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        variables = resource["Properties"].setdefault("Environment", {}).setdefault("Variables", {})
        variables.update(json.load(open(sys.argv[2], encoding="utf-8")))
template["Parameters"]["Architecture"]["Default"] = sys.argv[3]
# SAM CLI looks for plain CloudFormation APIs only where one stands before the first serverless resource.
template["Resources"] = dict(sorted(template["Resources"].items(), key=lambda item: "::Serverless::" in item[1]["Type"]))
json.dump(template, sys.stdout)
"""
LOG = LOCAL / "sam-local.log"
INVOKE_LIMIT = 120.0
START_LIMIT = 60.0
PING_ID = "00000000-0000-4000-8000-000000000001"
DELIVERY_ID = "00000000-0000-4000-8000-000000000011"


class Host:
    """This machine as containers see it."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.gateway = _gateway()

    def url(self, url: str) -> str:
        """The same for containers, of what listens on our loopback."""
        found = re.search(r"(?:127\.0\.0\.1|localhost):(\d+)", url)
        if not found:
            return url
        if not self.gateway:
            return url.replace(found.group(), f"host.docker.internal:{found.group(1)}")
        port = self.stack.enter_context(forwarded(self.gateway, int(found.group(1))))
        return url.replace(found.group(), f"{self.gateway}:{port}")

    def database(self, url: str) -> str:
        """Without TLS: our PostgreSQL has none, and to another machine the functions would not speak plainly unasked."""
        outside = self.url(url)
        return outside if outside == url or "sslmode=" in url else f"{outside}{'&' if '?' in url else '?'}sslmode=disable"


@contextmanager
def reachable() -> Iterator[Host]:
    with ExitStack() as stack:
        yield Host(stack)


def need_engine() -> None:
    if _docker("info"):
        return
    if PREPARE.exists():
        call("bash", str(PREPARE))
    if not _docker("info"):
        raise wheels.Missing("no Docker engine answers `docker info`")


def command(action: str, template: Path, *arguments: str) -> list[str]:
    """`sam local`; the image is asked for where it is not here."""
    tag = f"{IMAGE}-{functions.architecture()}"
    skip = ["--skip-pull-image"] if _docker("image", "inspect", tag) else []
    return [str(wheels.lambda_tools() / "sam"), "local", action, "--template", str(template), *skip, *arguments]


def environment() -> dict[str, str]:
    # sam itself looks for credentials too.
    return {**functions.tool_environment(), **CREDENTIALS, "AWS_DEFAULT_REGION": CREDENTIALS["AWS_REGION"]}


def template_with(settings: dict[str, str]) -> Path:
    """The built template with these settings of every function."""
    given, local = functions.SAM_BUILD / "settings.json", functions.SAM_BUILD / "local.json"
    # They hold the password of the database.
    _write_private(given, json.dumps({**settings, "DATABASE_SECRET_ARN": "", "DATABASE_CA": "", "JWT_ISSUER": ""}))
    command = [str(wheels.lambda_tools() / "python"), "-I", "-c", ADD_VARIABLES]
    command += [str(functions.SAM_BUILD / "template.yaml"), str(given), functions.architecture()]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if made.returncode:
        raise Problem(f"the built template can't be read: {made.stderr.strip().splitlines()[-1:]}")
    _write_private(local, made.stdout)
    return local


def test() -> None:
    """Every sample event by `sam local invoke`, and a round trip by `sam local start-api`."""
    try:
        need_engine()
        wheels.lambda_tools()
    except wheels.Missing as problem:
        say(f"skipped: {problem}")
        return
    functions.build_shipped()
    with ExitStack() as stack:
        url = stack.enter_context(Cluster("test-postgres").use(fresh=True))
        host = stack.enter_context(reachable())
        endpoint = stack.enter_context(moto())
        queues = create_queues(endpoint)
        alerts: list[dict[str, Any]] = []
        token("dev")  # makes the key
        inbox = stack.enter_context(Inbox("127.0.0.1", KEY / "jwks.json", alerts.append))
        port = free_port()
        settings = functions.settings(
            host.database(url), queues, host.url(endpoint), host.url(inbox.keys_url), f"http://127.0.0.1:{port}", NETWORKS
        )
        template = template_with(settings)
        Invocations(template, host, inbox, alerts, Sqs(endpoint), queues["DELIVERY_QUEUE_URL"]).all()
        _round_trip(stack, template, port)


class Invocations:
    def __init__(
        self, template: Path, host: Host, inbox: Inbox, alerts: list[dict[str, Any]], sqs: Sqs, deliveries: str
    ) -> None:  # fmt: skip
        self.template, self.host, self.inbox, self.alerts, self.sqs, self.deliveries = template, host, inbox, alerts, sqs, deliveries
        self.token = token("dev")

    def all(self) -> None:
        self.migrate()
        ping_id = self.manage()
        self.ping(ping_id)
        self.late_check()
        self.notify()

    def migrate(self) -> None:
        for event in ("migrate-create", "migrate-update", "migrate-rollback", "migrate-delete"):
            before = len(self.inbox.answers())
            self.invoke("migrate", {**sample(event), "ResponseURL": self.host.url(self.inbox.answer_url)})
            answers = self.inbox.answers()[before:]
            expect(len(answers) == 1 and answers[0]["Status"] == "SUCCESS", f"{event} was answered {answers}")

    def manage(self) -> str:
        hook = {"name": "hook", "default": True, "type": {"webhook": {"url": self.host.url(self.inbox.url)}}}
        self.api("api-post-monitor-base64", 200, path="/api/v1/alert-configs", body=hook)
        monitor = self.api("api-post-monitor-base64", 200)["data"]
        listed = self.api("api-get-monitors", 200)
        expect([each["monitor_id"] for each in listed["data"]] == [monitor["monitor_id"]], f"the list is {listed}")
        ping_id: str = monitor["ping_url"].rsplit("/", 1)[1]
        return ping_id

    def ping(self, ping_id: str) -> None:
        for event, body in (("ping-get", "OK"), ("ping-head", ""), ("ping-function-url", "OK"), ("ping-post-base64", "OK")):
            given = json.loads(json.dumps(sample(event)).replace(PING_ID, ping_id))
            reply = self.invoke("ping", given)
            expect(reply["statusCode"] == 200 and reply["body"] == body, f"{event} was answered {reply}")

    def late_check(self) -> None:
        for event in ("late-check-schedule", "late-check-wake"):
            reply = self.invoke("late-check", sample(event))
            expect(reply == {"batchItemFailures": []}, f"{event} was answered {reply}")

    def notify(self) -> None:
        """The failed run of `ping`: its function handed the alert over."""
        messages = self.sqs.receive(self.deliveries)
        ids = [each for message in messages for each in json.loads(message.body)["delivery_ids"]]
        expect(ids != [], "the ping that failed handed over no delivery")
        given = json.loads(json.dumps(sample("notify-deliveries")).replace(DELIVERY_ID, ids[0]))
        reply = self.invoke("notify", given)
        expect(reply == {"batchItemFailures": []}, f"notify-deliveries was answered {reply}")
        expect([alert["type"] for alert in self.alerts] == ["failed"], f"the webhook got {self.alerts}")

    def api(self, event: str, status: int, path: str = "", body: Any = None) -> Any:
        given = sample(event)
        given["headers"]["authorization"] = f"Bearer {self.token}"
        if path:
            given["rawPath"] = given["requestContext"]["http"]["path"] = path
        if body is not None:
            given["body"] = base64.b64encode(json.dumps(body).encode()).decode()
        reply = self.invoke("api", given)
        expect(reply["statusCode"] == status, f"{event} was answered {reply}")
        return json.loads(reply["body"])

    def invoke(self, name: str, event: dict[str, Any]) -> Any:
        began = time.monotonic()
        try:
            sam = subprocess.run(
                command("invoke", self.template, functions.LOGICAL[name], "--event", "-"),
                cwd=ROOT, env=environment(), input=json.dumps(event), capture_output=True, text=True, timeout=INVOKE_LIMIT,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Problem(f"sam local invoke {name} did not end within {INVOKE_LIMIT:.0f} s") from None
        if sam.returncode:
            raise Problem(f"sam local invoke {name} failed:\n{sam.stderr.strip()}")
        lines = sam.stdout.strip().splitlines()
        try:
            reply = json.loads(lines[-1]) if lines else None
        except ValueError:
            raise Problem(f"sam local invoke {name} said no JSON:\n{sam.stderr.strip()}\n{sam.stdout.strip()}") from None
        if isinstance(reply, dict) and "errorMessage" in reply:
            raise Problem(f"{name} failed: {reply['errorMessage']}\n{sam.stderr.strip()}")
        say(f"   {name} answered ({time.monotonic() - began:.1f} s)")
        return reply


def _round_trip(stack: ExitStack, template: Path, port: int) -> None:
    log = stack.enter_context(open(LOG, "wb"))
    # A session of its own, so that its containers end with it.
    server = subprocess.Popen(
        command("start-api", template, "--port", str(port)),
        cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        _await_port(server, port)
        base, authorization = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {token('dev')}"}
        body = json.dumps({"name": "round trip", "schedule": {"every": 60}}).encode()
        monitor = json.loads(_request(f"{base}/api/v1/monitors", body, authorization))["data"]
        expect(_request(monitor["ping_url"]) == "OK", "the ping was not answered OK")
        read = json.loads(_request(f"{base}/api/v1/monitors/{monitor['monitor_id']}", None, authorization))["data"]
        expect(read["status"] == "up" and len(read["jobs"]) == 1, f"the monitor that was pinged is {read}")
        say("   start-api: created, pinged and read a monitor")
    finally:
        with uninterrupted():
            end_session(server)


def _request(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> str:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers or {}), timeout=INVOKE_LIMIT) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError as error:
        raise Problem(f"{url} answers {error.code}: {error.read().decode(errors='replace')[:300]}; see .local/sam-local.log") from None


def _await_port(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_LIMIT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise Problem("sam local start-api does not start; see .local/sam-local.log") from None
            time.sleep(0.1)


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Problem(otherwise)


def _gateway() -> str:
    """The bridge's address if it is one of this machine's; Docker Desktop's is not, and has a name for this machine instead."""
    command = ["docker", "network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}"]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    for config in json.loads(said or "null") or []:
        # A bridge that nobody configured names no gateway; it is the network's first address then.
        address = config.get("Gateway") or str(ip_network(config["Subnet"])[1])
        try:
            socket.create_server((address, 0)).close()
            return address
        except OSError:
            continue
    return ""


def _docker(*arguments: str) -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", *arguments], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
