"""What AWS does around the functions, played on this machine: the schedule, the queues' triggers, and an inbox for alerts."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socketserver
import sys
import threading
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Iterator

from moto import REGION, Message, Sqs
from tools import ROOT, Problem, say

Event = dict[str, Any]
# Invokes a function, by the name of its binary; what it answered.
Invoke = Callable[[str, Event], Any]

ACCOUNT = "123456789012"
POLL_SECONDS = 0.3
# What our longest function may take, and its build before.
INVOKE_LIMIT = 600.0
LONGEST_MESSAGE = 256 * 1024
COLOURS = {"warning": "\x1b[1;33m", "late": "\x1b[1;33m", "notice": "\x1b[1;33m", "recovered": "\x1b[1;32m", "test": "\x1b[1;36m"}
FAILED_COLOUR, NO_COLOUR = "\x1b[1;31m", "\x1b[0m"


def invoker(url: str, names: dict[str, str]) -> Invoke:
    """Invokes by the Invoke API, as `cargo lambda watch` and `sam local start-lambda` offer it."""

    def invoke(name: str, event: Event) -> Any:
        address = f"{url}/2015-03-31/functions/{names.get(name, name)}/invocations"
        request = urllib.request.Request(address, json.dumps(event).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=INVOKE_LIMIT) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise Problem(f"{name} failed: {error.read().decode(errors='replace')[:500]}") from None
        except (OSError, http.client.HTTPException) as error:
            raise Problem(f"{name} can't be invoked: {error}") from None
        try:
            reply = json.loads(text) if text.strip() else None
        except ValueError:
            raise Problem(f"{name} answered no JSON: {text[:500]}") from None
        if isinstance(reply, dict) and "errorMessage" in reply:
            raise Problem(f"{name} failed: {reply['errorMessage']}")
        return reply

    return invoke


def schedule_event() -> Event:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/every-minute"],
        "detail": {},
    }


def queue_event(queue: str, messages: list[Message]) -> Event:
    return {
        "Records": [
            {
                "messageId": message.message_id,
                "receiptHandle": message.receipt_handle,
                "body": message.body,
                "attributes": message.attributes,
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
                "awsRegion": REGION,
            }
            for message in messages
        ]
    }


@contextmanager
def played(invoke: Invoke, endpoint: str, queues: dict[str, str], seconds: float) -> Iterator[None]:
    """Meanwhile late-check is invoked every so many seconds, and what the queues hold goes to notify and late-check."""
    stop = threading.Event()
    triggers = (("delivery", queues["DELIVERY_QUEUE_URL"], "notify"), ("wake", queues["WAKE_QUEUE_URL"], "late-check"))
    threads = [threading.Thread(target=_schedule, args=(invoke, seconds, stop), daemon=True)]
    threads += [
        threading.Thread(target=_trigger, args=(invoke, Sqs(endpoint), queue, url, name, stop), daemon=True)
        for queue, url, name in triggers
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        # Nobody waits for them: an invocation may take long, and they die with us.
        stop.set()


def _schedule(invoke: Invoke, seconds: float, stop: threading.Event) -> None:
    trouble = Trouble("the schedule", stop)
    while not stop.is_set():
        with trouble.noted():
            invoke("late-check", schedule_event())
        stop.wait(seconds)


def _trigger(invoke: Invoke, sqs: Sqs, queue: str, url: str, name: str, stop: threading.Event) -> None:
    trouble = Trouble(f"the {queue} queue", stop)
    while not stop.is_set():
        messages: list[Message] = []
        with trouble.noted():
            messages = sqs.receive(url)
            if messages:
                reply = invoke(name, queue_event(queue, messages)) or {}
                failed = {each["itemIdentifier"] for each in reply.get("batchItemFailures", [])}
                for message in messages:
                    # What failed shows itself again after the queue's visibility time-out.
                    if message.message_id not in failed:
                        sqs.delete(url, message)
        if not messages:
            stop.wait(POLL_SECONDS)


class Trouble:
    """Says once that something is wrong, and once that it is over."""

    def __init__(self, what: str, stop: threading.Event) -> None:
        self.what = what
        self.stop = stop
        self.said = ""

    @contextmanager
    def noted(self) -> Iterator[None]:
        try:
            yield
        except (Problem, OSError) as problem:
            if str(problem) != self.said and not self.stop.is_set():
                say(f"{self.what}: {problem}")
            self.said = str(problem)
            self.stop.wait(1)
            return
        if self.said:
            say(f"{self.what}: all is well again")
            self.said = ""


class Inbox:
    """A webhook that prints a line for each alert, and the public keys of development tokens for functions that can't read our files."""

    def __init__(self, address: str, keys: Path | None = None, alert: Callable[[Event], None] | None = None) -> None:
        # Only who is told the key can write into the terminal, no page in a browser.
        self.path = f"/inbox/{secrets.token_hex(16)}"
        self.server = Server((address, 0), Handler)
        self.server.inbox, self.server.keys, self.server.alert = self.path, keys, alert or print_alert
        self.server.answers = []
        self.base = f"http://{address}:{self.server.server_address[1]}"
        self.url = f"{self.base}{self.path}"
        # Where migrate puts its answer, as CloudFormation would take it.
        self.answer_url = f"{self.base}/answer"
        self.keys_url = f"{self.base}/jwks.json"

    def __enter__(self) -> Inbox:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answers(self) -> list[Event]:
        return self.server.answers


class Server(ThreadingHTTPServer):
    daemon_threads = True
    inbox: str
    keys: Path | None
    alert: Callable[[Event], None]
    answers: list[Event]

    def server_bind(self) -> None:
        # HTTPServer would look up the address's name, which takes seconds where no name server answers.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/jwks.json" and self.server.keys:
            self._answer(200, self.server.keys.read_bytes())
        else:
            self._answer(404)

    def do_POST(self) -> None:
        message = self._message()
        if self.path != self.server.inbox:
            self._answer(404)
        elif message is None:
            self._answer(400)
        else:
            self.server.alert(message)
            self._answer(204)

    def do_PUT(self) -> None:
        message = self._message()
        if message is not None and self.path == "/answer":
            self.server.answers.append(message)
        self._answer(200)

    def _message(self) -> Event | None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LONGEST_MESSAGE:
            self.close_connection = True
            return None
        try:
            message = json.loads(self.rfile.read(length))
        except ValueError:
            return None
        return message if isinstance(message, dict) else None

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def print_alert(message: Event) -> None:
    """`late  demo  expected 14:02:05, nothing came by 14:02:07; last success 14:02:00`"""
    # A notice is about no monitor, and so is a test.
    kind, monitor = str(message.get("type")), message.get("monitor") or {"name": "CronMon"}
    colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    begin, end = (COLOURS.get(kind, FAILED_COLOUR), NO_COLOUR) if colours else ("", "")
    print(f"{begin}{plain(kind)}{end}  {plain(str(monitor.get('name')))}  {plain(str(message.get('reason')))}", flush=True)


def plain(text: str) -> str:
    """A name must not move the cursor or colour the terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)[:500]


def sample(name: str) -> Event:
    """A sample event of events/."""
    event: Event = json.loads((ROOT / "events" / f"{name}.json").read_text(encoding="utf-8"))
    return event
