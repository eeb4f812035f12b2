"""Whose code an event tells of: commit, branch and pull requests, and whether they are a fork's, by the payload.

Source: https://docs.github.com/webhooks/webhook-events-and-payloads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_QUEUED = re.compile(r"refs/heads/gh-readonly-queue/.+/pr-(\d+)-[0-9a-f]+")
"""A merge queue's branch for a pull request."""
_NUMBER_OF_DISPATCH = ("pull_request", "pull_request_number", "pr_number", "pr")
"""Under which a `repository_dispatch` names a pull request; its `client_payload` is free."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The code that an event tells of; empty where it tells of none but `GITHUB_SHA`.

    Args:
        sha: hash of the commit.
        branch: name of the branch that holds it.
        base: name of the branch that it is to be merged into.
        is_fork: whether it comes from another repository; None: the payload doesn't say, GitHub must be asked.
        pull_requests: numbers of the pull requests that the event names.
    """

    sha: str = ""
    branch: str = ""
    base: str = ""
    is_fork: bool | None = False
    pull_requests: tuple[int, ...] = ()

    @classmethod
    def of(cls, name: str, payload: Mapping[str, Any], repository: str) -> Head:
        """Reads the head.

        Args:
            name: name of the event.
            payload: payload of the event.
            repository: name of the repository that the workflow runs in, `owner/name`.
        """
        here = {"id": get(payload, "repository", "id"), "full_name": repository}
        if isinstance(pull_request := payload.get("pull_request"), dict):
            return _of_pull_request(pull_request, here)
        match name:
            case "issue_comment" if get(payload, "issue", "pull_request") is not None:
                return cls(is_fork=None, pull_requests=_numbers(get(payload, "issue", "number")))
            case "workflow_run" if isinstance(run := payload.get("workflow_run"), dict):
                return cls(
                    sha=text(run, "head_sha"),
                    branch=text(run, "head_branch"),
                    is_fork=_is_another(get(run, "head_repository"), here),
                    pull_requests=_numbers(*(get(item, "number") for item in _own(run, here))),
                )
            case "check_run" | "check_suite":
                return _of_check(payload.get(name), here)
            case "status":
                branches = payload.get("branches")
                # Those of this repository that hold the commit.
                is_fork = not branches if isinstance(branches, list) else None
                branch = "" if is_fork or not branches else _tip(branches, text(payload, "sha"))
                return cls(sha=text(payload, "sha"), branch=branch, is_fork=is_fork)
            case "deployment" | "deployment_status":
                # Its `ref` may be a branch, a tag or a hash, and be in no branch of this repository.
                return cls(sha=text(payload, "deployment", "sha"), is_fork=None)
            case "merge_group":
                ref = text(payload, "merge_group", "head_ref")
                queued = _QUEUED.fullmatch(ref)
                return cls(
                    sha=text(payload, "merge_group", "head_sha"),
                    branch=branch_of(ref),
                    base=branch_of(text(payload, "merge_group", "base_ref")),
                    pull_requests=(int(queued[1]),) if queued else (),
                )
            case "repository_dispatch":
                return _of_dispatch(payload.get("client_payload"), here)
        return cls()


def get(value: Any, *path: str) -> Any:
    """What stands at a path of a payload; None where there is nothing.

    Args:
        value: the payload, or a part of it.
        *path: names of members, from the outside.
    """
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text(value: Any, *path: str) -> str:
    """The text at a path of a payload; '' where there is none.

    Args:
        value: the payload, or a part of it.
        *path: names of members, from the outside.
    """
    found = get(value, *path)
    return found if isinstance(found, str) else ""


def branch_of(ref: str) -> str:
    """The branch that a full ref names; '' if it names none."""
    return ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else ""


def _of_pull_request(pull_request: Mapping[str, Any], here: Mapping[str, Any]) -> Head:
    return Head(
        sha=text(pull_request, "head", "sha"),
        branch=text(pull_request, "head", "ref"),
        base=text(pull_request, "base", "ref"),
        # A deleted fork leaves `head.repo` null: still not this repository.
        is_fork=_is_another(get(pull_request, "head", "repo"), here),
        pull_requests=_numbers(pull_request.get("number")),
    )


def _of_check(check: Any, here: Mapping[str, Any]) -> Head:
    """A check's commit: GitHub names neither branch nor pull request where they are a fork's."""
    suite = get(check, "check_suite") if get(check, "check_suite") is not None else check
    found = list({get(item, "number"): item for item in (*_own(check, here), *_own(suite, here))}.values())
    branch = text(suite, "head_branch") or next((text(item, "head", "ref") for item in found), "")
    heads = [get(item, "head", "repo") for item in found]
    is_fork: bool | None = None
    if heads:
        is_fork = all(_is_another(head, here) for head in heads)
    elif not branch:
        is_fork = True
    return Head(
        sha=text(check, "head_sha") or text(suite, "head_sha"),
        branch=branch,
        base=next((text(item, "base", "ref") for item in found), ""),
        is_fork=is_fork,
        pull_requests=_numbers(*(get(item, "number") for item in found)),
    )


def _of_dispatch(client_payload: Any, here: Mapping[str, Any]) -> Head:
    """A pull request that whoever dispatched the event speaks of: as GitHub has it, a part of that, or its number."""
    pull_request = get(client_payload, "pull_request")
    if isinstance(pull_request, dict):
        head = _of_pull_request(pull_request, here)
        is_whole = head.sha and "repo" in (pull_request.get("head") or {})
        return head if is_whole or not head.pull_requests else Head(is_fork=None, pull_requests=head.pull_requests)
    values = (get(client_payload, name) for name in _NUMBER_OF_DISPATCH)
    numbers = _numbers(*(int(value) if isinstance(value, str) and value.isdecimal() else value for value in values))
    return Head(is_fork=None, pull_requests=numbers[:1]) if numbers else Head()


def _own(value: Any, here: Mapping[str, Any]) -> list[Any]:
    """The listed pull requests to this repository; a commit may be part of others in repositories forked from it."""
    listed = get(value, "pull_requests")
    return [
        item
        for item in (listed if isinstance(listed, list) else [])
        if get(item, "base", "repo", "id") == here["id"] or get(item, "base", "repo") is None
    ]


def _is_another(found: Any, here: Mapping[str, Any]) -> bool:
    if name := text(found, "full_name"):
        return name.lower() != str(here["full_name"]).lower()
    return get(found, "id") is None or get(found, "id") != here["id"]


def _tip(branches: list[Any], sha: str) -> str:
    """The branch whose newest commit this is."""
    return next((text(item, "name") for item in branches if text(item, "commit", "sha") == sha), "")


def _numbers(*found: Any) -> tuple[int, ...]:
    return tuple(dict.fromkeys(n for n in found if isinstance(n, int) and not isinstance(n, bool)))
