"""The template as the tests read it: short tags spelled out (`!Ref X` is {"Ref": "X"}), and a few questions they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "template.yaml").read_text(encoding="utf-8")


class _Loader(yaml.SafeLoader):
    pass


def _spelled_out(loader: _Loader, tag: str, node: yaml.Node) -> Any:
    name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if tag == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _spelled_out)

TEMPLATE: dict[str, Any] = yaml.load(TEXT, _Loader)
PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
GLOBALS: dict[str, Any] = TEMPLATE["Globals"]["Function"]


def of_type(kind: str) -> dict[str, Any]:
    """The resources of a type, by logical id."""
    return {name: resource for name, resource in RESOURCES.items() if resource["Type"] == kind}


def properties(name: str) -> dict[str, Any]:
    return RESOURCES[name]["Properties"]


FUNCTIONS = of_type("AWS::Serverless::Function")
QUEUES = of_type("AWS::SQS::Queue")


def names_in(value: Any) -> Iterator[str]:
    """The logical ids that a value refers to."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield inner[0]
            else:
                yield from names_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_in(inner)


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)


def name_of(value: Any) -> str:
    """The one logical id that a value refers to."""
    names = list(names_in(value))
    if len(names) != 1:
        raise AssertionError(f"{value} refers to {names}, not to one resource")
    return names[0]


def events_of(function: str, kind: str) -> dict[str, Any]:
    events = FUNCTIONS[function]["Properties"].get("Events", {})
    return {name: event["Properties"] for name, event in events.items() if event["Type"] == kind}


def mapped_queues() -> dict[str, str]:
    """Queues that call a function, with that function."""
    return {name_of(event["Queue"]): function for function in FUNCTIONS for event in events_of(function, "SQS").values()}


def dead_letter_queues() -> set[str]:
    redrives = [queue["Properties"]["RedrivePolicy"] for queue in QUEUES.values() if "RedrivePolicy" in queue["Properties"]]
    targets = {name_of(redrive["deadLetterTargetArn"]) for redrive in redrives}
    for function in FUNCTIONS:
        targets |= {name_of(event["DeadLetterConfig"]["Arn"]) for event in events_of(function, "Schedule").values() if "DeadLetterConfig" in event}
    return targets
