"""SQS on this machine: a moto server that lives as long as its starter, and a client that needs no AWS SDK."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Iterator

import wheels
from postgres import free_port
from tools import LOCAL, Problem, uninterrupted

# moto takes any credentials; the region chooses whose queues one sees.
REGION = "eu-central-1"
CREDENTIALS = {"AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto"}
FIFO = {"FifoQueue": "true", "ContentBasedDeduplication": "false", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
QUEUES: dict[str, tuple[str, dict[str, str]]] = {
    "DELIVERY_QUEUE_URL": ("delivery", {}),
    "WAKE_QUEUE_URL": ("wake", {}),
    "SPOOL_QUEUE_URL": ("spool.fifo", FIFO),
}
# Its standard input closes when we are gone, however we went. It reads the clock for each message that waits at each
# call; by way of datetime that costs so much that a few hundred messages stop it.
SERVER = """
import os, sys, threading, time
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import main
from moto.sqs import models
models.unix_time_millis = lambda: time.time() * 1000.0
main(sys.argv[1:])
"""
LOG = LOCAL / "moto.log"
START_LIMIT = 60.0
ANSWER_LIMIT = 30.0


@dataclass(frozen=True)
class Message:
    message_id: str
    receipt_handle: str
    body: str
    attributes: dict[str, str]


class Sqs:
    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def create(self, name: str, attributes: dict[str, str]) -> str:
        """Creates a queue, or finds it; its URL."""
        url: str = self._call("CreateQueue", {"QueueName": name, "Attributes": attributes})["QueueUrl"]
        return url

    def send(self, url: str, body: str, delay: int = 0) -> None:
        self._call("SendMessage", {"QueueUrl": url, "MessageBody": body, "DelaySeconds": delay})

    def receive(self, url: str, most: int = 10) -> list[Message]:
        wanted = {"QueueUrl": url, "MaxNumberOfMessages": most, "WaitTimeSeconds": 0, "AttributeNames": ["All"]}
        found = self._call("ReceiveMessage", wanted).get("Messages") or []
        return [Message(each["MessageId"], each["ReceiptHandle"], each["Body"], each.get("Attributes", {})) for each in found]

    def delete(self, url: str, message: Message) -> None:
        self._call("DeleteMessage", {"QueueUrl": url, "ReceiptHandle": message.receipt_handle})

    def _call(self, action: str, arguments: dict[str, Any]) -> dict[str, Any]:
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AmazonSQS.{action}",
            # moto reads the region here and checks no signature.
            "Authorization": f"AWS4-HMAC-SHA256 Credential=moto/20260101/{REGION}/sqs/aws4_request, SignedHeaders=host, Signature=0",
        }
        request = urllib.request.Request(self.endpoint, json.dumps(arguments).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_LIMIT) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Problem(f"moto refused {action}: {error.read().decode(errors='replace')[:300]}") from None
        except (OSError, ValueError) as error:
            raise Problem(f"moto does not answer {action}: {error}") from None
        return json.loads(text) if text.strip() else {}


@contextmanager
def moto() -> Iterator[str]:
    """A moto server on a free port of 127.0.0.1; its URL."""
    python = wheels.lambda_tools() / "python"
    port = free_port()
    with open(LOG, "wb") as log:
        # A session of its own: ctrl-C in the terminal is for us, who then end it.
        server = subprocess.Popen(
            # Isolated, or this very file would be the moto that it imports.
            [str(python), "-I", "-c", SERVER, "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        _await(server, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        with uninterrupted():
            server.kill()
            server.wait()


def create_queues(endpoint: str) -> dict[str, str]:
    """The queues of the template; their URLs under the names of the settings that tell them."""
    return {setting: Sqs(endpoint).create(name, attributes) for setting, (name, attributes) in QUEUES.items()}


def _await(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_LIMIT
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise Problem(f"moto does not start; see {LOG.relative_to(LOCAL.parent)}") from None
            time.sleep(0.05)
