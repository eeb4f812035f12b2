"""The deployment, where it is asked for: the run in the environment of its branch, with a link in the pull request."""

from __future__ import annotations

from lightning_zenml.action.github.client import GitHub
from lightning_zenml.action.github.deployments import Deployments, DeploymentState
from lightning_zenml.action.report import State
from lightning_zenml.action.report.channels.channel import News

_STATES = {
    State.STARTING: DeploymentState.IN_PROGRESS,
    State.RUNNING: DeploymentState.IN_PROGRESS,
    State.COMPLETED: DeploymentState.SUCCESS,
    State.FAILED: DeploymentState.FAILURE,
    State.STOPPED: DeploymentState.ERROR,
    State.PAUSED: DeploymentState.PENDING,
    State.CANCELLED: DeploymentState.INACTIVE,
}


class DeploymentChannel:
    """Keeps the deployment.

    Args:
        repository: name of the repository, `owner/name`.

    Attributes:
        id: id of the deployment; None: not known, so it is looked for.
    """

    name = "deployment"

    def __init__(self, repository: str) -> None:
        self.id: int | None = None
        self._repository = repository
        self._told: tuple[DeploymentState, str | None] | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is one."""
        return self.id is not None

    def tell(self, github: GitHub, news: News) -> bool:
        """Makes it, or sets its status, see `Channel`."""
        origin, report = news.origin, news.report
        state = DeploymentState.FAILURE if report.failed_rules else _STATES[report.state]
        if not (origin.deployment and origin.sha) or (state, report.page) == self._told:
            return True
        deployments = Deployments(
            github.rest,
            self._repository,
            environment=origin.environment,
            name=origin.context,
            attempt=origin.attempt,
        )
        if self.id is None:
            self.id = deployments.put(origin.sha)
        deployments.set_status(
            self.id,
            state,
            description=news.sentence,
            environment_url=report.page,
            log_url=report.workflow_run_url,
        )
        if report.is_final and state is not DeploymentState.PENDING:
            deployments.end_earlier(self.id)
        self._told = (state, report.page)
        return True
