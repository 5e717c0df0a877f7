"""The document itself: valid, and of answers so exact that a check of them means something."""

from __future__ import annotations

import unittest
from typing import Any, Iterator

from document import DOCUMENT, RESPONSES, referred
from openapi_spec_validator import OpenAPIV31SpecValidator

# Fields that an answer may lack; the document says of each when.
MAY_BE_ABSENT = {("Retention", "warnings")}


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield f"{method.upper()} {path}", operation


def objects(place: str, node: Any, seen: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object schema in a part of the document and in what it refers to, once."""
    if isinstance(node, list):
        for item in node:
            yield from objects(place, item, seen)
    if not isinstance(node, dict):
        return
    reference = node.get("$ref")
    if reference and reference not in seen:
        seen.add(reference)
        yield from objects(reference.rsplit("/", 1)[1], referred(reference), seen)
    if node.get("type") == "object" or "unevaluatedProperties" in node:
        yield place, node
    for key, value in node.items():
        if key not in ("example", "examples"):
            yield from objects(place, value, seen)


class Document(unittest.TestCase):
    def test_it_is_valid(self) -> None:
        self.assertEqual([error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()], [])

    def test_answers_have_no_room_for_unknown_fields_and_lack_none(self) -> None:
        seen: set[str] = set()
        found = 0
        for place, schema in objects("", [RESPONSES, *(operation["responses"] for _, operation in operations())], seen):
            found += 1
            # What only stands beside other fields is closed by who takes it in.
            if not place.endswith("Fields"):
                self.assertTrue(False in (schema.get("additionalProperties"), schema.get("unevaluatedProperties")), f"{place}: {schema}")
            for name in schema.get("properties", {}):
                if (place, name) not in MAY_BE_ABSENT:
                    self.assertIn(name, schema.get("required", []), place)
        self.assertGreater(found, 40)

    def test_errors_name_their_code_and_their_reasons(self) -> None:
        for name, operation in operations():
            for status, response in operation["responses"].items():
                if status < "400" or name.endswith("/health/ready"):
                    continue
                text = str(resolved(response))
                self.assertIn(f"'code': {{'const': {status}}}", text, f"{name} {status}")
                self.assertRegex(text, r"'reason': \{'(const|enum)'", f"{name} {status}")

    def test_the_two_associations_alone_are_500(self) -> None:
        names = [name for name, operation in operations() if "500" in operation["responses"]]
        path = "/api/v1/monitors/{monitor_id}/alert-configs"
        self.assertEqual(names, [f"POST {path}", f"DELETE {path}/{{alert_config_id}}"])

    def test_whoever_needs_a_token_or_key_is_told_which(self) -> None:
        open_to_all = [name for name, operation in operations() if operation.get("security") == []]
        self.assertEqual(open_to_all, ["GET /api/v1/health", "GET /api/v1/health/ready", "GET /api/v1/docs/openapi.yaml"])
        for name, operation in operations():
            scopes = [entry["ApiKey"] for entry in operation.get("security", DOCUMENT["security"]) if "ApiKey" in entry]
            is_job = name.endswith(("/jobs/start", "/finish"))
            wanted = [] if name in open_to_all else [["ping" if is_job else "read" if name.startswith("GET") else "manage"]]
            self.assertEqual(scopes, wanted, name)
            if wanted:
                self.assertLessEqual({"401", "403", "503"}, set(operation["responses"]), name)


def resolved(node: Any) -> Any:
    if isinstance(node, dict):
        return resolved(referred(node["$ref"])) if "$ref" in node else {key: resolved(value) for key, value in node.items()}
    return [resolved(item) for item in node] if isinstance(node, list) else node


if __name__ == "__main__":
    unittest.main()
