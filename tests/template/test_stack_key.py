"""dev/stack_key.py against AWS's two answers, as boto3 gives them."""

from __future__ import annotations

import io
import json
import sys
import unittest
from typing import Any

from loaded import PARAMETERS, ROOT, of_type

sys.path.insert(0, str(ROOT / "dev"))
import deploy  # noqa: E402
import stack_key  # noqa: E402


class Stack:
    """Both clients in one. https://boto3.amazonaws.com/v1/documentation/api/latest/reference/services/lambda/client/invoke.html"""

    def __init__(self, certs_url: str, answer: Any, error: str = "") -> None:
        self.certs_url, self.answer, self.error = certs_url, answer, error
        self.invoked: list[dict[str, Any]] = []

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        return {"Stacks": [{"StackName": StackName, "Parameters": [{"ParameterKey": "KeycloakCertsUrl", "ParameterValue": self.certs_url}]}]}

    def describe_stack_resource(self, StackName: str, LogicalResourceId: str) -> dict[str, Any]:
        return {"StackResourceDetail": {"PhysicalResourceId": f"{StackName}-{LogicalResourceId}-1X"}}

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        self.invoked.append({"function": FunctionName, **json.loads(Payload)["new_key"]})
        failed = {"FunctionError": self.error} if self.error else {}
        return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(self.answer).encode()), **failed}

    def key(self, first: bool) -> str:
        return stack_key.key(self, self, "cronmon-dev", "acme", "manage", first)


class StackKey(unittest.TestCase):
    def test_the_function_of_the_stack_makes_it(self) -> None:
        self.assertIn("Migrate", of_type("AWS::Serverless::Function"))
        stack = Stack("https://issuer.example/certs", "the key")
        self.assertEqual(stack.key(first=False), "the key")
        (invoked,) = stack.invoked
        self.assertEqual(invoked, {"function": "cronmon-dev-Migrate-1X", "tenant": "acme", "scope": "manage", "name": "made by make key", "first": False})

    def test_a_stack_with_an_issuer_of_tokens_gets_no_first_key(self) -> None:
        self.assertIn("KeycloakCertsUrl", PARAMETERS)
        stack = Stack("https://issuer.example/certs", "the key")
        self.assertEqual((stack.key(first=True), stack.invoked), ("", []))
        stack = Stack("", "the key")
        self.assertEqual(stack.key(first=True), "the key")
        self.assertIs(stack.invoked[0]["first"], True)

    def test_what_went_wrong_is_said(self) -> None:
        stack = Stack("", {"errorMessage": "the database can't be reached"}, "Unhandled")
        with self.assertRaisesRegex(SystemExit, "Migrate-1X could not make the key: the database can't be reached"):
            stack.key(first=False)

    def test_it_knows_the_stacks_of_samconfig(self) -> None:
        self.assertEqual([deploy.stack_name(env) for env in ("dev", "prod")], ["cronmon-dev", "cronmon-prod"])
