"""GitHub's own description of its REST interface, cut down: checks requests and answers, gives examples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

_GITHUB: dict[str, Any] = json.loads((Path(__file__).parent / "github.json").read_text(encoding="utf-8"))


def request_problem(operation: str, body: Any) -> str | None:
    """Says what GitHub's schema forbids in a request's JSON body; None if nothing.

    Args:
        operation: method and path template, e.g. `PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}`.
        body: the parsed body.
    """
    schema = _GITHUB["operations"][operation]["request"]
    for error in _validator(schema or {}).iter_errors(body):
        return str(error.message)
    return None


def check_answer(operation: str | None, status: int, payload: Any) -> None:
    """Raises `jsonschema.ValidationError` unless GitHub would send this payload with this status."""
    schemas = _GITHUB["operations"][operation]["responses"] if operation else {}
    _validator(schemas.get(str(status), {"$ref": "#/$defs/basic-error"})).validate(payload)


def example(name: str, replacements: Mapping[str, str]) -> dict[str, Any]:
    """GitHub's own example of an object (`issue-comment`, `pull-request-simple`), with some text replaced."""
    text = json.dumps(_GITHUB["examples"][name])
    for old, new in replacements.items():
        text = text.replace(old, new)
    filled: dict[str, Any] = json.loads(text)
    return filled


def _validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**schema, "$defs": _GITHUB["$defs"]})
