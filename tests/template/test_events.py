from __future__ import annotations

import json
import re
import unittest
from typing import Any

from loaded import FUNCTIONS, ROOT, properties

FOLDER = ROOT / "events"
EVENTS: dict[str, Any] = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
README = (FOLDER / "README.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| \[([\w.-]+)\]\([\w.-]+\) \| (\w+) \|", README, flags=re.MULTILINE))


def trigger(event: dict[str, Any]) -> str:
    if "RequestType" in event:
        return f"CloudFormation {event['RequestType']}"
    if "Records" in event:
        (queue,) = {record["eventSourceARN"].rsplit(":", 1)[1].split("-")[-2] for record in event["Records"]}
        return f"SQS {queue}"
    if event.get("source") == "aws.events":
        return "EventBridge"
    kind = "Function URL" if ".lambda-url." in event["requestContext"]["domainName"] else "HTTP API"
    return f"{kind} {event['requestContext']['http']['method']}"


class Events(unittest.TestCase):
    def test_the_readme_tells_of_each_and_of_no_other(self) -> None:
        self.assertEqual(set(ROWS), set(EVENTS))

    def test_each_function_has_one_for_each_trigger(self) -> None:
        wanted = {
            "Api": {"HTTP API GET", "HTTP API POST"},
            "Ping": {"HTTP API GET", "HTTP API HEAD", "HTTP API POST", "Function URL GET"},
            "LateCheck": {"EventBridge", "SQS Wake"},
            "Notify": {"SQS Delivery"},
            "Migrate": {"CloudFormation Create", "CloudFormation Update", "CloudFormation Delete"},
        }
        self.assertEqual(set(wanted), set(FUNCTIONS))
        for function, triggers in wanted.items():
            self.assertEqual({trigger(EVENTS[file]) for file, of in ROWS.items() if of == function}, triggers, function)

    def test_those_of_http_have_payload_version_2_and_agree_with_themselves(self) -> None:
        for name, event in EVENTS.items():
            if "requestContext" not in event:
                continue
            with self.subTest(name):
                context = event["requestContext"]
                self.assertEqual(event["version"], "2.0")
                self.assertEqual((event["rawPath"], event["routeKey"]), (context["http"]["path"], context["routeKey"]))
                self.assertEqual((event["headers"]["host"], context["apiId"]), (context["domainName"], context["domainPrefix"]))
                self.assertIn("isBase64Encoded", event)

    def test_a_delivery_batch_has_two_messages_that_name_deliveries(self) -> None:
        bodies = [json.loads(record["body"]) for record in EVENTS["notify-deliveries.json"]["Records"]]
        self.assertEqual([len(body["delivery_ids"]) for body in bodies], [1, 1])

    def test_the_custom_resource_has_the_properties_of_the_template(self) -> None:
        for name, event in EVENTS.items():
            if name.startswith("migrate-"):
                self.assertEqual(set(event["ResourceProperties"]), set(properties("Schema")), name)
                self.assertEqual((event["LogicalResourceId"], event["ResourceType"]), ("Schema", "Custom::Schema"))

    def test_an_update_goes_on_to_a_newer_migration_and_a_rollback_back_from_it(self) -> None:
        for name, back in (("migrate-update.json", False), ("migrate-rollback.json", True)):
            before, after = (EVENTS[name][key]["Newest"] for key in ("OldResourceProperties", "ResourceProperties"))
            self.assertNotEqual(before, after, name)
            self.assertEqual(before > after, back, name)
        self.assertEqual(trigger(EVENTS["migrate-rollback.json"]), "CloudFormation Update")
