"""The comment on each pull request of the commit."""

from __future__ import annotations

from collections.abc import Callable

from lightning_zenml.action import report as reports
from lightning_zenml.action.github.client import GitHub, GitHubError, TryLaterError
from lightning_zenml.action.github.comments import Comment, Comments
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report.channels.channel import News
from lightning_zenml.action.report.legs.own import own_leg
from lightning_zenml.action.report.legs.writer import PATIENCE, LegWriter

_LOOK_INTERVAL = 60.0
"""Seconds between two looks for pull requests of a commit that has none yet."""
_PAUSE_OF_A_LEG = 10.0
"""Seconds without news for each of the legs that write one comment: they share a token's 1,000 requests an hour."""
_Put = Callable[[int, int | None], Comment | None]
"""Writes the comment on a pull request, of which the id may be known."""


class CommentChannel:
    """Keeps the comments.

    Args:
        workflow: the runner, for warnings and the output `comment-url`.
        repository: name of the repository, `owner/name`.
        clock: seconds since 1970.
        is_wanted: whether there are to be any.

    Attributes:
        ids: id of the comment by number of its pull request.
        pause: seconds that legs leave each other.
    """

    name = "comment on the pull request"

    def __init__(self, workflow: Workflow, repository: str, clock: Callable[[], float], *, is_wanted: bool) -> None:
        self.ids: dict[int, int] = {}
        self.pause = 0.0
        self._workflow = workflow
        self._repository = repository
        self._clock = clock
        self._is_wanted = is_wanted
        self._overtaken: set[int] = set()
        self._refused: set[int] = set()
        self._pull_requests: tuple[int, ...] = ()
        self._asked_at = float("-inf")
        self._leg: LegWriter | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is one."""
        return bool(self.ids)

    def tell(self, github: GitHub, news: News) -> bool:
        """Writes it, see `Channel`."""
        self.pause = 0.0
        if not self._is_wanted:
            return True
        comments = Comments(github, self._repository, news.origin.marker)
        if news.origin.is_shared:
            put = self._of_leg(github, comments, news)
        else:
            body = reports.comment(news.report, str(news.origin.marker))

            def put(number: int, comment_id: int | None) -> Comment | None:
                return comments.put(number, body, comment_id)

        for number in self._numbers(github, comments, news.origin, at_once=news.is_last):
            if number not in self._overtaken | self._refused:
                self._put(number, put)
        return True

    def _of_leg(self, github: GitHub, comments: Comments, news: News) -> _Put:
        """What writes the row of this leg in the comment of all."""
        github.rest.patience = min(github.rest.patience, PATIENCE)
        origin = news.origin
        if self._leg is None:
            self._leg = LegWriter(origin.marker, origin.comment_key, news.report.workflow_run_url, github.rest.pause)
        writer, own = self._leg, own_leg(news.report, origin, self._clock(), self._workflow.redact)

        def put(number: int, comment_id: int | None) -> Comment | None:
            written = writer.put(comments, number, own, comment_id, is_last=news.is_last)
            self.pause = max(self.pause, _PAUSE_OF_A_LEG * writer.legs(number))
            return written

        return put

    def _put(self, number: int, put: _Put) -> None:
        try:
            self._keep(number, put(number, self.ids.get(number)))
        except TryLaterError:
            raise
        except GitHubError as error:
            # Of several pull requests one may be locked.
            self._refused.add(number)
            self._workflow.warning(str(error), error.code, title=f"No comment on pull request #{number}")

    def _numbers(self, github: GitHub, comments: Comments, origin: Origin, *, at_once: bool) -> tuple[int, ...]:
        """The pull requests to comment on; a push event does not name them, and they may be opened later."""
        if origin.pull_requests:
            return origin.pull_requests
        if not self._pull_requests and (at_once or self._clock() - self._asked_at >= _LOOK_INTERVAL):
            found = github.pull_requests_of_commit(self._repository, origin.sha)
            self._pull_requests = tuple(one.number for one in found if origin.is_for(one))
            self._asked_at = self._clock()
        if at_once and not self._pull_requests:
            self._pull_requests = tuple(self.ids) or self._numbers_as_older(github, comments, origin)
        return self._pull_requests

    def _numbers_as_older(self, github: GitHub, comments: Comments, origin: Origin) -> tuple[int, ...]:
        """Where the commit is the newest no more, and a comment of before wants its end."""
        found = github.pull_requests_of_commit(self._repository, origin.sha, as_older=True)
        return tuple(one.number for one in found if origin.is_for(one) and comments.is_there(one.number))

    def _keep(self, number: int, comment: Comment | None) -> None:
        if comment is None:
            self._overtaken.add(number)
            self._workflow.log(
                f"The comment on pull request #{number} tells of a newer workflow run by now and stays so; "
                "the report of this one is in the job summary.\n"
            )
            return
        if self.ids.get(number) != comment.id and number == next(iter(self.ids), number):
            self._workflow.set_output("comment-url", comment.url)
        self.ids = {**self.ids, number: comment.id}
