from __future__ import annotations

import re
import unittest
from typing import Any, Iterator

from loaded import FUNCTIONS, RESOURCES, TEXT, mapped_queues, name_of, names_in, of_type, properties, texts_in

RECEIVE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}


def rights(value: Any) -> Iterator[str]:
    """What stands under Action, Resource or Principal, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("Action", "NotAction", "Resource", "NotResource", "Principal"):
                yield from texts_in(inner)
            else:
                yield from rights(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from rights(inner)


def allowed(function: str) -> set[tuple[str, str]]:
    """Pairs of an action and the resource it is allowed on."""
    (policy,) = properties(name_of(properties(function)["Role"]))["Policies"]
    pairs = set()
    for statement in policy["PolicyDocument"]["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        pairs |= {(action, resource) for action in actions for resource in names_in(statement["Resource"])}
    return pairs


class Rights(unittest.TestCase):
    def test_no_star_stands_without_its_reason_on_the_line(self) -> None:
        for star in sorted({text for text in rights(RESOURCES) if "*" in text}):
            lines = [line for line in TEXT.splitlines() if star in line.split("#")[0] and re.match(r"\s*(- )?(Action|Resource|Principal|-|\")", line)]
            self.assertTrue(lines, star)
            for line in lines:
                self.assertRegex(line, r"#\s*\w+(\W+\w+){3}", f"no reason: {line.strip()}")

    def test_each_function_has_a_role_of_its_own(self) -> None:
        roles = [name_of(properties(name)["Role"]) for name in FUNCTIONS]
        self.assertEqual(len(set(roles)), len(FUNCTIONS))
        for name in FUNCTIONS:
            self.assertNotIn("Policies", properties(name), f"{name}: SAM makes a role then, with rights to all queues and logs")

    def test_each_writes_only_its_own_log(self) -> None:
        for name in FUNCTIONS:
            with self.subTest(name):
                group = properties(name)["LoggingConfig"]["LogGroup"]["Ref"]
                logs = {pair for pair in allowed(name) if pair[0].startswith("logs:")}
                self.assertEqual(logs, {("logs:CreateLogStream", group), ("logs:PutLogEvents", group)})

    def test_each_may_send_and_receive_what_it_must_and_nothing_else(self) -> None:
        send = "sqs:SendMessage"
        wanted = {
            "Api": {(send, "Delivery")},
            "Ping": {(send, "Delivery"), (send, "Spool")},
            "LateCheck": {(send, "Delivery"), (send, "Wake"), ("sqs:ChangeMessageVisibility", "Spool")}
            | {(action, queue) for action in RECEIVE for queue in ("Wake", "Spool")},
            "Notify": {(send, "Delivery")} | {(action, "Delivery") for action in RECEIVE},
            "Migrate": set(),
        }
        for name in FUNCTIONS:
            with self.subTest(name):
                self.assertEqual({pair for pair in allowed(name) if not pair[0].startswith("logs:")}, wanted[name])

    def test_a_function_may_receive_from_the_queue_that_calls_it(self) -> None:
        for queue, function in mapped_queues().items():
            self.assertLessEqual({(action, queue) for action in RECEIVE}, allowed(function))

    def test_the_secret_is_read_only_where_there_is_one_and_network_rights_come_only_with_a_vpc(self) -> None:
        nothing = {"Ref": "AWS::NoValue"}
        for name in of_type("AWS::IAM::Role"):
            with self.subTest(name):
                secret, network = properties(name)["ManagedPolicyArns"]
                self.assertEqual(secret["Fn::If"], ["HasDatabaseSecret", {"Ref": "ReadDatabaseSecret"}, nothing])
                # AWSLambdaVPCAccessExecutionRole would let it write every log besides.
                network_rights = "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaENIManagementAccess"
                self.assertEqual(network["Fn::If"], ["InVpc", {"Fn::Sub": network_rights}, nothing])
        self.assertEqual(RESOURCES["ReadDatabaseSecret"].get("Condition"), "HasDatabaseSecret")
        (statement,) = properties("ReadDatabaseSecret")["PolicyDocument"]["Statement"]
        self.assertEqual((statement["Action"], statement["Resource"]), ("secretsmanager:GetSecretValue", {"Ref": "DatabaseSecretArn"}))
