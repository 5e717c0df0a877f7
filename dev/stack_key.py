"""Makes an API key in a deployed stack, by its function Migrate, which alone may be able to reach the database; prints the key and nothing else.

    stack_key.py STACK TENANT SCOPE          a key
    stack_key.py STACK TENANT SCOPE --first  only while the stack has no issuer of tokens, and no key of this scope: else nothing is printed

Run by the Python that has boto3: dev/deploy.py knows it.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def key(cloudformation: Any, functions: Any, stack: str, tenant: str, scope: str, first: bool) -> str:
    if first and has_issuer(cloudformation, stack):
        return ""
    resource = cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId="Migrate")
    name = resource["StackResourceDetail"]["PhysicalResourceId"]
    payload = {"new_key": {"tenant": tenant, "scope": scope, "name": "made at the first deployment" if first else "made by make key", "first": first}}
    answer = functions.invoke(FunctionName=name, Payload=json.dumps(payload).encode())
    said = json.loads(answer["Payload"].read())
    if answer.get("FunctionError"):
        raise SystemExit(f"{name} could not make the key: {said.get('errorMessage', said)}")
    return str(said)


def has_issuer(cloudformation: Any, stack: str) -> bool:
    (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    return any(one["ParameterKey"] == "KeycloakCertsUrl" and one.get("ParameterValue") for one in described.get("Parameters", []))


def main(arguments: list[str]) -> None:
    import boto3

    first = arguments[3:] == ["--first"]
    if len(arguments) != 3 + first:
        raise SystemExit("usage: stack_key.py STACK TENANT ping|read|manage [--first]")
    print(key(boto3.client("cloudformation"), boto3.client("lambda"), *arguments[:3], first))


if __name__ == "__main__":
    main(sys.argv[1:])
