"""One leg's part in the comment of all: it takes over what the others have written, and sees to it that its row stays.

GitHub has no write that fails where somebody else was faster, so of two legs that read at the same time, the one that
writes last takes away the other's new row. What keeps that from lasting:

- A leg that goes on writes again, and adds all rows that it has ever seen.
- A leg that has written its last word looks once more after `SETTLE`, and writes again where it is gone. No other can
  have read before that and write later, as a read and its write have `PATIENCE` together.
- Where that is cut short, as the job is cancelled, `post` does it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from lightning_zenml.action.github.client import UnreachableError
from lightning_zenml.action.github.comments import Comment, Comments, Marker
from lightning_zenml.action.report.legs.record import Leg, legs_in
from lightning_zenml.action.report.legs.table import comment

PATIENCE = 5.0
"""Seconds that a request may take which writes the comment of several legs."""
SETTLE = 6.0
"""Seconds after which no other leg writes any more what it has read before."""
_MOST_SPREAD = 20.0
"""Seconds over which the looks of many legs are spread at most."""
_LOOKS = 8
"""How often a leg looks whether its last word has stayed."""


class LegWriter:
    """Writes one leg's row.

    Args:
        marker: first line of the comment.
        key: what the legs share.
        workflow_run_url: page of the workflow run.
        pause: waits for so many seconds.
    """

    def __init__(self, marker: Marker, key: str, workflow_run_url: str | None, pause: Callable[[float], None]) -> None:
        self._marker = marker
        self._key = key
        self._workflow_run_url = workflow_run_url
        self._pause = pause
        self._seen: dict[int, dict[str, Leg]] = {}

    def legs(self, number: int) -> int:
        """Number of legs that are known of on a pull request.

        Args:
            number: number of the pull request.
        """
        return len(self._seen.get(number, {}))

    def put(
        self, comments: Comments, number: int, own: Leg, comment_id: int | None, *, is_last: bool
    ) -> Comment | None:
        """Writes the row.

        Args:
            comments: the comments of the marker's key.
            number: number of the pull request.
            own: the row.
            comment_id: id of the comment, which may be deleted by now; None: the comment is searched for.
            is_last: whether this leg writes no more, so that it has to look whether the row stays.

        Returns:
            The comment; None where it tells of a newer workflow run by now, and was left so.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """

        def compose(body: str) -> str:
            return self._with(number, own, body)

        written = comments.put(number, compose, comment_id)
        if not is_last:
            return written
        for _ in range(_LOOKS):
            if written is None:
                return None
            # Of those that have to write again, not all should do so at the same moment.
            spread = min(max(2.0, self.legs(number) / 2), _MOST_SPREAD)
            self._pause(SETTLE + random.uniform(0, spread))  # noqa: S311 - no secret
            current = comments.look(written.id)
            if current and (self._marker.is_older_than(current.body) or _holds(current.body, own)):
                return current
            written = comments.put(number, compose, written.id)
        raise UnreachableError("Other legs of this workflow kept overwriting the comment.")

    def _with(self, number: int, own: Leg, body: str) -> str:
        """The comment with the row, all that it held of this workflow run, and all that it has held before."""
        legs = {name: leg for name, leg in legs_in(body).items() if leg.run_id == own.run_id}
        for leg in (*self._seen.get(number, {}).values(), own):
            if leg.name not in legs or not legs[leg.name].is_newer_than(leg):
                legs[leg.name] = leg
        self._seen[number] = legs
        return comment(list(legs.values()), str(self._marker), self._key, self._workflow_run_url)


def _holds(body: str, own: Leg) -> bool:
    found = legs_in(body).get(own.name)
    return found is not None and not own.is_newer_than(found)
