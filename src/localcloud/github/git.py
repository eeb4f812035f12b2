"""The objects of git repositories by their hashes: blobs, trees of files, commits, and what refers to them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Commit:
    """A commit with the hash of its tree and those of its parents."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    message: str
    date: datetime


class GitObjects:
    """All objects of all repositories, and the references of each."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._trees: dict[str, dict[str, str]] = {}
        self._commits: dict[str, Commit] = {}
        self._references: dict[tuple[str, str], str] = {}

    def add_blob(self, content: bytes) -> str:
        """Keeps a file's content; its hash."""
        sha = _hash("blob", content)
        self._blobs[sha] = content
        return sha

    def add_tree(self, files: Mapping[str, str]) -> str:
        """Keeps the blobs of files in one folder, by their names; its hash."""
        names = sorted(files)
        sha = _hash("tree", b"".join(f"100644 {name}\0".encode() + bytes.fromhex(files[name]) for name in names))
        self._trees[sha] = dict(files)
        return sha

    def add_commit(self, tree: str, parents: Sequence[str], message: str) -> Commit:
        """Keeps a commit, which is another one each time."""
        date, number = datetime.now(UTC), len(self._commits)
        sha = _hash("commit", f"tree {tree}\nparents {parents}\n{date} {number}\n\n{message}".encode())
        self._commits[sha] = Commit(sha, tree, tuple(parents), message, date)
        return self._commits[sha]

    def has_blob(self, sha: str) -> bool:
        """Whether a blob is known."""
        return sha in self._blobs

    def tree(self, sha: str) -> dict[str, str] | None:
        """The blobs of a tree by the files' names."""
        return self._trees.get(sha)

    def commit(self, sha: str) -> Commit | None:
        """A commit."""
        return self._commits.get(sha)

    def file(self, sha: str, name: str) -> bytes | None:
        """Content of a file in a commit, as its page shows it."""
        commit = self._commits.get(sha)
        return self._blobs.get(self._trees[commit.tree].get(name, "")) if commit else None

    def references(self, repository: str, beginning: str = "refs/") -> dict[str, str]:
        """The hashes of references by their full names, in order."""
        found = sorted(self._references.items())
        return {name: sha for (of, name), sha in found if of == repository and name.startswith(beginning)}

    def refer(self, repository: str, name: str, sha: str | None) -> None:
        """Lets a reference lead to a commit, or, with None, nowhere any more."""
        if sha is None:
            del self._references[repository, name]
        else:
            self._references[repository, name] = sha

    def descends(self, sha: str, ancestor: str) -> bool:
        """Whether a commit is another one, or comes after it."""
        to_see = [sha]
        while to_see:
            one = to_see.pop()
            if one == ancestor:
                return True
            to_see += self._commits[one].parents
        return False


def _hash(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
