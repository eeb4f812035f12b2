"""The status of the commit, which nobody has to ask for: where it may not be set, there is none, without a fuss."""

from __future__ import annotations

from lightning_zenml.action.github.client import GitHub, GitHubError, TryLaterError
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report import State
from lightning_zenml.action.report.channels.channel import News

_STATES = {
    State.STARTING: "pending",
    State.RUNNING: "pending",
    State.COMPLETED: "success",
    State.FAILED: "failure",
    State.STOPPED: "error",
    State.PAUSED: "pending",
    State.CANCELLED: "error",
}


class CommitStatusChannel:
    """Sets the commit status.

    Args:
        workflow: the runner, for warnings.
        repository: name of the repository, `owner/name`.
    """

    name = "commit status"

    def __init__(self, workflow: Workflow, repository: str) -> None:
        self._workflow = workflow
        self._repository = repository
        self._is_wanted = True
        self._told: tuple[str, str | None] | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is one."""
        return self._told is not None

    def tell(self, github: GitHub, news: News) -> bool:
        """Sets it, see `Channel`; raises nothing."""
        state = "failure" if news.report.failed_rules else _STATES[news.report.state]
        origin = news.origin
        if not (self._is_wanted and origin.sha) or (state, news.page) == self._told:
            return True
        try:
            github.set_status(
                self._repository,
                origin.sha,
                context=origin.context,
                state=state,
                target_url=news.page,
                description=news.sentence,
            )
            self._told = (state, news.page)
        except TryLaterError as error:
            if news.is_last and self._told:
                self._workflow.warning(str(error), error.code, title=f"The {self.name} is not up to date")
            return False
        except GitHubError as error:
            self._workflow.debug(f"No {self.name}: {error}")
            self._is_wanted = False
        return True
