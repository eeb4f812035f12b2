"""Files on branches of our own in a repository, to which several may write at once.

Source: https://docs.github.com/rest/git. Who writes reads the branch, builds a commit on top and moves the branch
there, which GitHub refuses (422) where somebody else has moved it meanwhile: then it is done anew.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping

from lightning_zenml.action.github.rest import GitHubRest, InvalidError, UnreachableError, expected

_TRIES = 8
"""As many writers at once as a matrix may well have."""
_LONGEST_PAUSE = 4.0


class Branches:
    """Branches of a repository whose only files are ours.

    Args:
        rest: server that has the repository; its token needs `contents: write`.
        repository: name of the repository, `owner/name`.
    """

    def __init__(self, rest: GitHubRest, repository: str) -> None:
        self._rest = rest
        self._path = f"/repos/{repository}/git"

    def add(self, branch: str, files: Mapping[str, bytes], message: str) -> str:
        """Adds files to a branch, which is made without any history where it isn't there.

        Args:
            branch: name of the branch.
            files: content of each file by its path.
            message: message of the commit.

        Returns:
            Hash of the commit that has them.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        tree = [
            {"path": path, "mode": "100644", "type": "blob", "sha": self._blob(content)}
            for path, content in files.items()
        ]
        for number in range(1, _TRIES + 1):
            try:
                return self._commit(branch, self.named(branch).get(branch), tree, message)
            except (InvalidError, UnreachableError):
                if number == _TRIES:
                    raise
            # Who writes at the same time comes at another one the next time.
            self._rest.pause(random.uniform(0, min(2**number / 4, _LONGEST_PAUSE)))  # noqa: S311
        raise AssertionError("unreachable")

    def named(self, beginning: str) -> dict[str, str]:
        """The hashes of branches by name.

        Args:
            beginning: what the names begin with.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        found = list(self._rest.pages(f"{self._path}/matching-refs/heads/{beginning}"))
        with expected():
            return {str(item["ref"]).removeprefix("refs/heads/"): str(item["object"]["sha"]) for item in found}

    def delete(self, branch: str) -> None:
        """Deletes a branch, with all files that no other has.

        Args:
            branch: name of the branch.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        self._rest.send("DELETE", f"{self._path}/refs/heads/{branch}")

    def _blob(self, content: bytes) -> str:
        return self._sha_of("POST", "blobs", {"content": base64.b64encode(content).decode(), "encoding": "base64"})

    def _commit(self, branch: str, head: str | None, tree: list[dict[str, str]], message: str) -> str:
        base: dict[str, object] = {}
        if head:
            answer = self._rest.get(f"{self._path}/commits/{head}")
            with expected():
                base = {"base_tree": answer["tree"]["sha"]}
        whole = self._sha_of("POST", "trees", {"tree": tree, **base})
        commit: dict[str, object] = {"message": message, "tree": whole, "parents": [head] if head else []}
        sha = self._sha_of("POST", "commits", commit)
        if head:
            self._rest.send("PATCH", f"{self._path}/refs/heads/{branch}", {"sha": sha, "force": False})
        else:
            self._rest.send("POST", f"{self._path}/refs", {"ref": f"refs/heads/{branch}", "sha": sha})
        return sha

    def _sha_of(self, method: str, kind: str, body: dict[str, object]) -> str:
        answer = self._rest.send(method, f"{self._path}/{kind}", body)
        with expected():
            return str(answer["sha"])
