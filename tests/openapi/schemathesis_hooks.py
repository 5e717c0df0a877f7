"""What schemathesis sends otherwise than it would."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """1.0 is an integer to JSON Schema; here it is refused, as by the original."""
    if isinstance(body, dict):
        return {key: map_body(_context, value) for key, value in body.items()}
    if isinstance(body, list):
        return [map_body(_context, item) for item in body]
    is_whole = isinstance(body, float) and body.is_integer() and abs(body) < 2**53
    return int(body) if is_whole else body


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Webhooks lead to a port of this machine where nobody listens: nothing of a test is sent anywhere else."""
    kind = case.body.get("type") if isinstance(case.body, dict) else None
    webhook = kind.get("webhook") if isinstance(kind, dict) else None
    url = webhook.get("url") if isinstance(webhook, dict) else None
    if isinstance(url, str) and url.lower().lstrip().startswith("http"):
        webhook["url"] = "http://127.0.0.1:9/"
