"""Cuts GitHub's OpenAPI description down to the operations that `localcloud.github` stands in for.

Usage: `npm pack @octokit/openapi`, unpack, then
`python src/localcloud/schemas/trim.py package/generated/api.github.com.json`.
The result is `github.json` beside this file; README.md says where the description comes from.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

OPERATIONS = (
    ("GET", "/repos/{owner}/{repo}/activity"),
    ("POST", "/repos/{owner}/{repo}/check-runs"),
    ("PATCH", "/repos/{owner}/{repo}/check-runs/{check_run_id}"),
    ("GET", "/repos/{owner}/{repo}/collaborators/{username}/permission"),
    ("GET", "/repos/{owner}/{repo}/commits/{ref}/check-runs"),
    ("GET", "/repos/{owner}/{repo}/commits/{commit_sha}/pulls"),
    ("GET", "/repos/{owner}/{repo}/compare/{basehead}"),
    ("GET", "/repos/{owner}/{repo}/deployments"),
    ("POST", "/repos/{owner}/{repo}/deployments"),
    ("GET", "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses"),
    ("POST", "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses"),
    ("POST", "/repos/{owner}/{repo}/git/blobs"),
    ("POST", "/repos/{owner}/{repo}/git/commits"),
    ("GET", "/repos/{owner}/{repo}/git/commits/{commit_sha}"),
    ("GET", "/repos/{owner}/{repo}/git/matching-refs/{ref}"),
    ("POST", "/repos/{owner}/{repo}/git/refs"),
    ("PATCH", "/repos/{owner}/{repo}/git/refs/{ref}"),
    ("DELETE", "/repos/{owner}/{repo}/git/refs/{ref}"),
    ("POST", "/repos/{owner}/{repo}/git/trees"),
    ("GET", "/repos/{owner}/{repo}/issues/{issue_number}/comments"),
    ("POST", "/repos/{owner}/{repo}/issues/{issue_number}/comments"),
    ("GET", "/repos/{owner}/{repo}/issues/comments/{comment_id}"),
    ("PATCH", "/repos/{owner}/{repo}/issues/comments/{comment_id}"),
    ("DELETE", "/repos/{owner}/{repo}/issues/comments/{comment_id}"),
    ("POST", "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions"),
    ("GET", "/repos/{owner}/{repo}/pulls/{pull_number}"),
    ("POST", "/repos/{owner}/{repo}/statuses/{sha}"),
)
EXAMPLES = {
    "check-run": "check-run",
    "commit-comparison": "commit-comparison",
    "deployment": "deployment",
    "deployment-status": "deployment-status",
    "git-commit": "git-commit",
    "git-ref": "git-ref",
    "git-tree": "git-tree",
    "issue-comment": "issue-comment",
    "pull-request": "pull-request",
    "pull-request-simple": "pull-request-simple-items",
    "reaction": "reaction",
    "repository-collaborator-permission": "repository-collaborator-permission-response-if-user-has-admin-permissions",
    "status": "status",
}
ANNOTATIONS = frozenset({"description", "title", "example", "examples", "externalDocs", "deprecated", "default"})


def trim(description: dict[str, Any]) -> dict[str, Any]:
    """Keeps the operations above, the schemas they need, and one official example of each object.

    Args:
        description: GitHub's OpenAPI 3.0 description of its REST interface.

    Returns:
        `version`, `operations` (request and responses by "METHOD path"), `examples` and `$defs`.
    """
    components = description["components"]
    operations: dict[str, Any] = {}
    for method, path in OPERATIONS:
        operation = description["paths"][path][method.lower()]
        request = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        operations[f"{method} {path}"] = {
            "request": request and _json_schema(request),
            "responses": {
                status: _json_schema(content["schema"])
                for status, response in operation["responses"].items()
                if (content := _resolve(components, response).get("content", {}).get("application/json"))
            },
        }
    return {
        "version": f"@octokit/openapi {description['info']['version']}",
        "operations": operations,
        "examples": {name: _first(components["examples"][key]["value"]) for name, key in EXAMPLES.items()},
        "$defs": _definitions(components, operations),
    }


def _definitions(components: dict[str, Any], operations: dict[str, Any]) -> dict[str, Any]:
    wanted = ["basic-error", *_references(operations)]
    definitions: dict[str, Any] = {}
    while wanted:
        name = wanted.pop()
        if name not in definitions:
            definitions[name] = _json_schema(components["schemas"][name])
            wanted += _references(definitions[name])
    return dict(sorted(definitions.items()))


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"].removeprefix("#/$defs/")] if isinstance(value.get("$ref"), str) else []
    return own + [name for item in value.values() for name in _references(item)]


def _json_schema(schema: Any) -> Any:
    """Turns an OpenAPI 3.0 schema into a JSON Schema: `nullable` and `$ref` are written differently there."""
    if isinstance(schema, list):
        return [_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {
        key: {name: _json_schema(item) for name, item in value.items()} if key == "properties" else _json_schema(value)
        for key, value in schema.items()
        if key not in ANNOTATIONS and not key.startswith("x-") and key != "nullable"
    }
    if "$ref" in kept:
        kept["$ref"] = kept["$ref"].replace("#/components/schemas/", "#/$defs/")
    return {"anyOf": [kept, {"type": "null"}]} if schema.get("nullable") else kept


def _resolve(components: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    reference = value.get("$ref")
    resolved: dict[str, Any] = components["responses"][reference.rsplit("/", 1)[1]] if reference else value
    return resolved


def _first(example: Any) -> Any:
    return example[0] if isinstance(example, list) else example


if __name__ == "__main__":
    trimmed = trim(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    target = Path(__file__).with_name("github.json")
    target.write_text(json.dumps(trimmed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
