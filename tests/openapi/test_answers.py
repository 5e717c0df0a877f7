"""What the end-to-end tests were answered is in the document, and as it says: they wrote it into CRONMON_ANSWERS."""

from __future__ import annotations

import json
import os
import unittest
from pathlib import Path

from document import DOCUMENT, response_of, template_of, validators_of

SHOWN = 20


def wrong(method: str, path: str, status: int, content_type: str, body: str) -> str | None:
    """What is wrong with an answer."""
    response = response_of(method, path, status)
    if isinstance(response, str):
        return response
    if method == "HEAD":
        return None
    expected = validators_of(response)
    if not expected:
        return "a body that the document does not know" if body and not path.startswith("/api/v1/docs/") else None
    validator = expected.get(content_type)
    if validator is None:
        return f"the content type {content_type!r}, not {' or '.join(map(repr, expected))}"
    instance = json.loads(body) if content_type == "application/json" else body
    errors = [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(instance)]
    return "\n".join(errors) or None


class Answers(unittest.TestCase):
    def test_they_are_as_the_document_says(self) -> None:
        lines = {line for file in Path(os.environ["CRONMON_ANSWERS"]).glob("*.jsonl") for line in file.read_text(encoding="utf-8").splitlines()}
        self.assertTrue(lines, "no test wrote down an answer")
        found, seen = [], set()
        for line in sorted(lines):
            method, path, status, content_type, body = json.loads(line)
            why = wrong(method, path, status, content_type, body)
            if why:
                found.append(f"{method} {path}: {status} {body[:1000]}\n  {why}")
            seen.add((template_of(path), method, status))
        of_operations = {(t, m) for t, m, _ in seen if t and m.lower() in DOCUMENT["paths"][t]}
        print(f"{len(lines)} answers of {len(of_operations)} operations, {len(seen)} with their statuses")
        documented = {(path, method.upper()) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"}
        self.assertEqual(sorted(documented - of_operations), [], "operations that no test was answered by")
        if found:
            self.fail("\n".join([f"{len(found)} answers are not as docs/openapi.yaml says", *found[:SHOWN]]))


if __name__ == "__main__":
    unittest.main()
