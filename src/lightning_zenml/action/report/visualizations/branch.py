"""Pictures on a branch of the same repository, which is where GitHub shows them from: as private as that is.

Each month has a branch of its own, whose commits hold nothing but pictures, so that deleting the branch of a month that
is long over deletes them. A link names the commit, so what it shows stays the same.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from lightning_zenml.action.github.branches import Branches
from lightning_zenml.action.github.client import GitHub, InvalidError, NotFoundError
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.report.visualizations.records import Kind, Published, VisualizationFile

BRANCHES = "lightning-zenml-pictures/"
"""What the names of the branches begin with, before the month."""
KEPT_MONTHS = 3
"""Months that pictures stay at least, as logs and artifacts of a workflow do unless a repository says otherwise."""
_PATIENCE = 10.0
"""Seconds that one request to GitHub may take: somebody waits for the step's end."""


class PicturesOnBranch:
    """The pictures of one repository.

    Args:
        github: the server that has the repository; of this one's own, as it is less patient than others.
        event: what started the workflow run; names the repository.
        clock: seconds since 1970.
    """

    kinds = frozenset({Kind.IMAGE})

    def __init__(self, github: GitHub, event: Event, *, clock: Callable[[], float] = time.time) -> None:
        github.rest.patience = _PATIENCE
        self._branches = Branches(github.rest, event.repository)
        self._pages = f"{event.server_url}/{event.repository}/blob"
        self._run_url = event.run_url
        self._clock = clock

    def check(self) -> None:
        """Does nothing: whether the token may write is seen when it does."""

    def publish(self, files: Sequence[VisualizationFile]) -> tuple[Published, ...]:
        """Puts pictures onto the branch of this month.

        Args:
            files: the pictures.

        Returns:
            Address of each.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        paths = [f"{hashlib.sha256(file.content).hexdigest()[:32]}.{file.ending}" for file in files]
        contents: Mapping[str, bytes] = dict(zip(paths, (file.content for file in files), strict=True))
        # Whoever uses a token of their own would start workflows by it.
        message = f"Pictures of {self._run_url}\n\n[skip ci]"
        sha = self._branches.add(f"{BRANCHES}{self._month(0)}", contents, message)
        return tuple(Published(url=f"{self._pages}/{sha}/{path}?raw=true") for path in paths)

    def clean_up(self) -> None:
        """Deletes the branches of months that are long over.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        oldest = self._month(KEPT_MONTHS)
        for branch in self._branches.named(BRANCHES):
            month = branch.removeprefix(BRANCHES)
            if re.fullmatch(r"\d{4}-\d{2}", month) and month < oldest:
                try:
                    self._branches.delete(branch)
                except (InvalidError, NotFoundError):
                    # Another run was faster.
                    continue

    def _month(self, ago: int) -> str:
        now = datetime.fromtimestamp(self._clock(), UTC)
        months = now.year * 12 + now.month - 1 - ago
        return f"{months // 12:04}-{months % 12 + 1:02}"
