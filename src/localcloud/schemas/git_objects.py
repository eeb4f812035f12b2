"""Git's own objects as GitHub sends them: its own examples, filled with what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from localcloud import schemas
from localcloud.schemas.objects import Place


def short_blob(place: Place, repository: str, sha: str) -> dict[str, Any]:
    """A blob that was made, as in the REST interface."""
    return {"sha": sha, "url": f"{place.url}/repos/{repository}/git/blobs/{sha}"}


def git_tree(place: Place, repository: str, sha: str, files: Mapping[str, str]) -> dict[str, Any]:
    """A tree of files as in the REST interface."""
    payload = _example("git-tree", place, repository)
    entries = [payload["tree"][0] | {"path": path, "sha": blob} for path, blob in files.items()]
    url = f"{place.url}/repos/{repository}/git/trees/{sha}"
    return payload | {"sha": sha, "url": url, "tree": entries, "truncated": False}


def git_commit(
    place: Place, repository: str, sha: str, tree: str, parents: Sequence[str], message: str, date: datetime
) -> dict[str, Any]:
    """A commit among git's objects as in the REST interface."""
    payload, objects = _example("git-commit", place, repository), f"{place.url}/repos/{repository}/git"
    moment = date.strftime("%Y-%m-%dT%H:%M:%SZ")
    payload.update(
        sha=sha,
        url=f"{objects}/commits/{sha}",
        html_url=f"{place.server_url}/{repository}/commit/{sha}",
        message=message,
        tree={"sha": tree, "url": f"{objects}/trees/{tree}"},
        parents=[payload["parents"][0] | {"sha": parent} for parent in parents],
        author=payload["author"] | {"date": moment},
        committer=payload["committer"] | {"date": moment},
    )
    return payload


def git_reference(place: Place, repository: str, name: str, sha: str) -> dict[str, Any]:
    """A reference as in the REST interface."""
    payload, objects = _example("git-ref", place, repository), f"{place.url}/repos/{repository}/git"
    target = {"type": "commit", "sha": sha, "url": f"{objects}/commits/{sha}"}
    return payload | {"ref": name, "url": f"{objects}/{name}", "object": target}


def _example(name: str, place: Place, repository: str) -> dict[str, Any]:
    replacements = {"https://api.github.com": place.url, "https://github.com": place.server_url}
    return schemas.example(name, {**replacements, "octocat/Hello-World": repository})
