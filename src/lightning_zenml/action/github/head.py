"""Whose code an event tells of: commit, branch and pull requests, and whether they are a fork's, by the payload.

Source: https://docs.github.com/webhooks/webhook-events-and-payloads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

_QUEUED = re.compile(r"gh-readonly-queue/.+/pr-(\d+)-[0-9a-f]+")
"""A merge queue's branch for a pull request."""
_TEST_MERGE = re.compile(r"(?:refs/pull/)?(\d+)/(?:merge|head)")
"""What GitHub keeps of a pull request; a deployment's `ref` leaves out where."""
_NUMBER_OF_DISPATCH = (
    *("pull_request", "pull_request_number", "pull_request_url", "pull_number", "pr_number", "pr_url", "pr"),
    *("pullRequest", "pullRequestNumber", "pullNumber", "prNumber"),
)
"""Under which whoever dispatches a run names a pull request; there are no rules for that."""
_PAGE = re.compile(
    r"https?://[^/\s]+(?:/api/v3)?(?:/repos)?/([^/\s]+/[^/\s]+)/(?:pulls?|issues)/(\d{1,12})(?:[/?#].*)?"
)
"""Of a pull request, for people or for programs."""


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
    def of(cls, name: str, payload: Mapping[str, Any], repository: str, ref: str = "") -> Head:
        """Reads the head.

        Args:
            name: name of the event.
            payload: payload of the event.
            repository: name of the repository that the workflow runs in, `owner/name`.
            ref: full ref that the workflow runs for.
        """
        here = {"id": get(payload, "repository", "id"), "full_name": repository}
        if isinstance(pull_request := payload.get("pull_request"), dict):
            return _of_pull_request(pull_request, here, payload.get("number"), _number_in(ref))
        match name:
            case "pull_request" | "pull_request_target" | "pull_request_review" | "pull_request_review_comment":
                numbers = _numbers(_number(payload.get("number"), here), _number_in(ref))
                return cls(is_fork=None, pull_requests=numbers[:1])
            case "issue_comment" if get(payload, "issue", "pull_request") is not None:
                return cls(is_fork=None, pull_requests=_numbers(get(payload, "issue", "number")))
            case "workflow_run" if isinstance(run := payload.get("workflow_run"), dict):
                return cls(
                    sha=text(run, "head_sha"),
                    branch=text(run, "head_branch"),
                    is_fork=_is_of_another(run, "head_repository", here),
                    pull_requests=_numbers(*(get(item, "number") for item in _own(run, here))),
                )
            case "check_run" | "check_suite":
                return _of_check(payload.get(name), here)
            case "status":
                branches = payload.get("branches")
                # Those of this repository that hold the commit.
                is_fork = not branches if isinstance(branches, list) else None
                branch = _tip(branches, text(payload, "sha")) if isinstance(branches, list) else ""
                return cls(sha=text(payload, "sha"), branch=branch, is_fork=is_fork)
            case "deployment" | "deployment_status":
                # Its `ref` may be a branch, a tag or a hash, and be in no branch of this repository.
                numbers = _numbers(_number_in(text(payload, "deployment", "ref")))
                return cls(sha=text(payload, "deployment", "sha"), is_fork=None, pull_requests=numbers)
            case "merge_group":
                branch = text(payload, "merge_group", "head_ref").removeprefix("refs/heads/") or branch_of(ref)
                queued = _QUEUED.fullmatch(branch)
                return cls(
                    sha=text(payload, "merge_group", "head_sha"),
                    branch=branch,
                    base=text(payload, "merge_group", "base_ref").removeprefix("refs/heads/"),
                    pull_requests=(int(queued[1]),) if queued else (),
                )
            case "repository_dispatch":
                return _of_dispatch(payload.get("client_payload"), here)
            case "workflow_dispatch":
                return _of_dispatch(payload.get("inputs"), here)
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


def _of_pull_request(pull_request: Mapping[str, Any], here: Mapping[str, Any], *numbers: Any) -> Head:
    """Reads it as GitHub has it; with what else is known of its number, where it is cut."""
    found = _numbers(*(_number(value, here) for value in (pull_request.get("number"), *numbers)))[:1]
    head = pull_request.get("head")
    is_fork = _is_of_another(head, "repo", here)
    if found and (is_fork is None or not text(head, "sha")):
        return Head(is_fork=None, pull_requests=found)
    return Head(
        sha=text(head, "sha"),
        branch=text(head, "ref"),
        base=text(pull_request, "base", "ref"),
        # A stranger's unless there is a word of it.
        is_fork=is_fork is not False,
        pull_requests=found,
    )


def _of_check(check: Any, here: Mapping[str, Any]) -> Head:
    """A check's commit: GitHub names neither branch nor pull request where they are a fork's."""
    suite = get(check, "check_suite") if get(check, "check_suite") is not None else check
    found = list({get(item, "number"): item for item in (*_own(check, here), *_own(suite, here))}.values())
    branch = text(suite, "head_branch") or next((text(item, "head", "ref") for item in found), "")
    heads = {_is_of_another(get(item, "head"), "repo", here) for item in found}
    is_fork: bool | None = None
    if heads:
        is_fork = False if False in heads else None if None in heads else True
    elif not branch:
        is_fork = True
    return Head(
        sha=text(check, "head_sha") or text(suite, "head_sha"),
        branch=branch,
        base=next((text(item, "base", "ref") for item in found), ""),
        is_fork=is_fork,
        pull_requests=_numbers(*(get(item, "number") for item in found)),
    )


def _of_dispatch(values: Any, here: Mapping[str, Any]) -> Head:
    """A pull request that whoever dispatched the run speaks of: as GitHub has it, a part of that, its number or page.

    One to another repository, whose numbers mean something else here, is none.
    """
    found = [get(values, name) for name in _NUMBER_OF_DISPATCH]
    if get(values, "issue", "pull_request") is not None:
        found.append(get(values, "issue"))
    for value in found:
        if not isinstance(value, dict):
            if number := _number(value, here):
                return Head(is_fork=None, pull_requests=(number,))
            continue
        pages = [value[name] for name in ("html_url", "url") if isinstance(value.get(name), str)]
        if _is_of_another(value.get("base"), "repo", here) or any(not _number(page, here) for page in pages):
            continue
        head = _of_pull_request(value, here)
        if head.pull_requests or head.sha:
            is_whole = _is_of_another(value.get("head"), "repo", here) is not None
            return head if is_whole else replace(head, is_fork=None)
    return Head()


def _own(value: Any, here: Mapping[str, Any]) -> list[Any]:
    """The listed pull requests to this repository; a commit may be part of others in repositories forked from it."""
    listed = get(value, "pull_requests")
    return [
        item
        for item in (listed if isinstance(listed, list) else [])
        if get(item, "base", "repo", "id") == here["id"] or get(item, "base", "repo") is None
    ]


def _is_of_another(value: Any, member: str, here: Mapping[str, Any]) -> bool | None:
    """Whether that member is another repository, or a deleted one, which is null; None where there is none."""
    if not isinstance(value, dict) or member not in value:
        return None
    found = value[member]
    # Ids stay when a repository is renamed or moved.
    if isinstance(get(found, "id"), int) and isinstance(here["id"], int):
        return bool(found["id"] != here["id"])
    return text(found, "full_name").lower() != str(here["full_name"]).lower()


def _tip(branches: list[Any], sha: str) -> str:
    """The branch whose newest commit this is."""
    return next((text(item, "name") for item in branches if text(item, "commit", "sha") == sha), "")


def _number(value: Any, here: Mapping[str, Any]) -> int | None:
    """The number that a value is, has in words, or has in its page's address; None: it is none of this repository."""
    if isinstance(value, str):
        if plain := re.fullmatch(r"\s*#?(\d{1,12})\s*", value):
            return int(plain[1]) or None
        page = _PAGE.fullmatch(value.strip())
        return int(page[2]) if page and page[1].lower() == str(here["full_name"]).lower() else None
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return int(value) if whole and not isinstance(value, bool) and value > 0 else None


def _number_in(ref: str) -> int | None:
    """Of the pull request that a ref is the test merge, or the head, of."""
    found = _TEST_MERGE.fullmatch(ref)
    return int(found[1]) if found else None


def _numbers(*found: Any) -> tuple[int, ...]:
    return tuple(dict.fromkeys(n for n in found if isinstance(n, int) and not isinstance(n, bool) and n > 0))
