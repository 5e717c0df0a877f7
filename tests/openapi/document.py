"""docs/openapi.yaml as it is read here: its operations, its answers, and the schemas of these."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

FILE = Path(__file__).parents[2] / "docs" / "openapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
RESPONSES: dict[str, Any] = DOCUMENT["components"]["responses"]
# Its words come before its parameters.
TEMPLATES = sorted(DOCUMENT["paths"], key=lambda template: template.count("{"))


def referred(reference: str) -> Any:
    """What stands at `#/components/...`."""
    found: Any = DOCUMENT
    for key in reference.removeprefix("#/").split("/"):
        found = found[key]
    return found


def template_of(path: str) -> str | None:
    """The path of the document that takes this one."""
    plain = re.sub(r"(.)/$", r"\1", path.split("?")[0])
    return next((t for t in TEMPLATES if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(t)), plain)), None)


def response_of(method: str, path: str, status: int) -> dict[str, Any] | str:
    """The documented answer, or what is not documented. An unknown path and a wrong method have one for all."""
    template = template_of(path)
    if template is None:
        return RESPONSES["NoSuchPath"] if status == 404 else f"there is no path {path}"
    operation = DOCUMENT["paths"][template].get("get" if method == "HEAD" else method.lower())
    if operation is None:
        return RESPONSES["WrongMethod"] if status == 405 else f"there is no {method} {template}"
    response = operation["responses"].get(str(status))
    if response is None:
        return f"there is no answer {status} of {method} {template}"
    return referred(response["$ref"]) if "$ref" in response else response


# By the identity of the answer, which lives as long as the document.
_validators: dict[int, dict[str, jsonschema_rs.Validator]] = {}


def validators_of(response: dict[str, Any]) -> dict[str, jsonschema_rs.Validator]:
    """By each content type of an answer what its body must be like; none of an answer without a body."""
    if id(response) not in _validators:
        # References lead to the components from wherever they stand.
        wholes = {kind: {"allOf": [content["schema"]], "components": DOCUMENT["components"]} for kind, content in response.get("content", {}).items()}
        _validators[id(response)] = {kind: jsonschema_rs.Draft202012Validator(whole, validate_formats=True) for kind, whole in wholes.items()}
    return _validators[id(response)]
