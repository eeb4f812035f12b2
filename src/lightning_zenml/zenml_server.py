"""Reads runs, steps, stacks and versions from a ZenML server over REST.

For the Action, which runs where importing ZenML would cost seconds. Endpoints and fields are those of ZenML 0.95 to
0.98 (`zenml/zen_server/routers`, `zenml/models/v2`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lightning_zenml.run_end import FINISHED, end_run
from lightning_zenml.zenml_rest import ZenMLRest, ZenMLServerError

SUPPORTED_VERSIONS = ("0.95", "0.96", "0.97", "0.98")
"""Of ZenML, as in pyproject.toml; `make compat` tries the oldest."""


@dataclass(frozen=True, kw_only=True)
class ServerInfo:
    """A ZenML server.

    Args:
        version: of ZenML on it.
        dashboard_url: base URL of its dashboard.
        pro: whether it's a workspace of ZenML Pro, where pages have other addresses.
    """

    version: str
    dashboard_url: str
    pro: bool = False


@dataclass(frozen=True, kw_only=True)
class Project:
    """A ZenML project."""

    id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A ZenML stack.

    Args:
        id: of the stack.
        name: of the stack.
        orchestrator: name of its orchestrator.
        orchestrator_flavor: flavor of its orchestrator.
        artifact_store_flavor: flavor of its artifact store.
        integrations: names of the ZenML integrations that its components need.
        settings: attributes of its orchestrator; credentials may be among them.
    """

    id: str
    name: str
    orchestrator: str
    orchestrator_flavor: str
    artifact_store_flavor: str
    integrations: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A pipeline run.

    Args:
        id: of the run.
        name: of the run.
        status: ZenML's, e.g. `running`, `completed`, `failed`.
        pipeline: name of its pipeline.
        url: its page on the dashboard.
        orchestrator_url: its place on Lightning AI, once known.
        start: when it started.
        end: when it ended.
        stack_id: id of its stack.
        metadata: all its metadata.
    """

    id: str
    name: str
    status: str
    pipeline: str
    url: str
    orchestrator_url: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    stack_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the status is final."""
        return self.status in FINISHED


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a run.

    Args:
        name: of its invocation.
        status: ZenML's, e.g. `running`, `completed`, `cached`.
        start: when it started.
        end: when it ended.
        traceback: of the exception that it failed with.
    """

    name: str
    status: str
    start: datetime | None = None
    end: datetime | None = None
    traceback: str | None = None

    @property
    def duration(self) -> timedelta | None:
        """How long it took; None while it runs."""
        return self.end - self.start if self.start and self.end else None


class ZenMLServer:
    """A ZenML server, as a service account sees it.

    Every method raises `ZenMLServerError`.

    Args:
        url: base URL, as in `ZENML_STORE_URL`.
        api_key: API key of a service account, as in `ZENML_STORE_API_KEY`.
        timeout: seconds that one request may take.
        retries: how often a request is sent again when the server is busy or can't be reached.
    """

    def __init__(self, url: str, api_key: str, *, timeout: float = 30, retries: int = 4) -> None:
        self.url = url.rstrip("/")
        self._rest = ZenMLRest(self.url, api_key, timeout=timeout, retries=retries)
        self._info: ServerInfo | None = None
        self._projects: dict[str, Project] = {}

    def login(self) -> None:
        """Checks the API key; done by itself when needed."""
        self._rest.login()

    def info(self) -> ServerInfo:
        """Gets version and dashboard; refuses a server of another version than ours.

        Returns:
            The server.
        """
        if self._info is None:
            data = self._rest.public("info")
            if not isinstance(data, dict) or "version" not in data:
                raise ZenMLServerError(f"{self.url} isn't a ZenML server.")
            version = str(data["version"])
            if ".".join(version.split(".")[:2]) not in SUPPORTED_VERSIONS:
                raise ZenMLServerError(
                    f"The ZenML server {self.url} has version {version}; supported are {SUPPORTED_VERSIONS[0]} to "
                    f"{SUPPORTED_VERSIONS[-1]}."
                )
            pro = data.get("deployment_type") == "cloud"
            dashboard = data.get("pro_dashboard_url") or data.get("dashboard_url") if pro else data.get("server_url")
            self._info = ServerInfo(version=version, dashboard_url=(dashboard or self.url).rstrip("/"), pro=pro)
        return self._info

    def mint_token(self, expires_in: int) -> str:
        """Makes a short-lived token that can stand in for the API key (as `ZENML_STORE_API_TOKEN`).

        Args:
            expires_in: seconds that it lives, or as long as the server allows, if that's less.

        Returns:
            The token.
        """
        query = {"token_type": "generic", "expires_in": expires_in}
        try:
            return str(self._rest.get("api_token", **query))
        except ZenMLServerError as error:
            limit = re.search(r"is (\d+) seconds", str(error))
            if error.status != 400 or limit is None:
                raise
        return str(self._rest.get("api_token", **query | {"expires_in": int(limit[1])}))

    def project(self, name_or_id: str | None = None) -> Project:
        """Finds a project.

        Args:
            name_or_id: of the project; None: the account's default one, else the only one, else `default`.

        Returns:
            The project.
        """
        if not name_or_id:
            name_or_id = self._rest.get("current-user")["body"].get("default_project_id")
        if not name_or_id:
            projects = list(self._rest.pages("projects"))
            name_or_id = projects[0]["id"] if len(projects) == 1 else "default"
        if name_or_id not in self._projects:
            data = self._rest.get(f"projects/{name_or_id}")
            self._projects[name_or_id] = Project(id=data["id"], name=data["name"])
        return self._projects[name_or_id]

    def stack(self, name_or_id: str | None = None) -> Stack:
        """Finds a stack.

        Args:
            name_or_id: of the stack; None: the only one whose orchestrator has the flavor `lightning`.

        Returns:
            The stack.
        """
        stacks = [_stack(data) for data in self._rest.pages("stacks", hydrate=True)]
        if name_or_id:
            found = [stack for stack in stacks if name_or_id in {stack.name, stack.id}]
            if not found:
                names = ", ".join(sorted(stack.name for stack in stacks))
                raise ZenMLServerError(f"There is no ZenML stack `{name_or_id}`; there are: {names}.", 404)
        else:
            found = [stack for stack in stacks if stack.orchestrator_flavor == "lightning"]
            if len(found) != 1:
                names = ", ".join(sorted(stack.name for stack in found)) or "none"
                raise ZenMLServerError(f"Which ZenML stack? Name one with a Lightning orchestrator: {names}.")
        return self._with_settings(found[0])

    def run(self, run_id: str) -> Run:
        """Gets a run.

        Args:
            run_id: of the run.

        Returns:
            The run as it stands.
        """
        data = self._rest.get(f"runs/{run_id}", hydrate=True)
        body, metadata, resources = data["body"], data["metadata"], data["resources"]
        return Run(
            id=data["id"],
            name=data["name"],
            status=body["status"],
            pipeline=(resources.get("pipeline") or {}).get("name", ""),
            url=self.run_url(run_id, body["project_id"]),
            orchestrator_url=metadata["run_metadata"].get("orchestrator_url"),
            start=_time(metadata["start_time"]),
            end=_time(metadata["end_time"]),
            stack_id=(resources.get("stack") or {}).get("id"),
            metadata=metadata["run_metadata"],
        )

    def runs_of_launch(self, launch_id: str) -> list[Run]:
        """Finds the runs that a launch made, which its id begins the orchestrator run id of.

        Args:
            launch_id: of the launch.

        Returns:
            The runs, oldest first.
        """
        filters = {"orchestrator_run_id": f"startswith:{launch_id}-", "sort_by": "asc:created"}
        return [self.run(data["id"]) for data in self._rest.pages("runs", **filters)]

    def steps(self, run_id: str) -> list[Step]:
        """Gets the steps of a run that have started, in that order.

        Args:
            run_id: of the run.

        Returns:
            The steps, each with its last try.
        """
        steps = [
            Step(
                name=data["name"],
                status=data["body"]["status"],
                start=_time(data["body"]["start_time"]),
                end=_time(data["body"]["end_time"]),
                traceback=(data["metadata"].get("exception_info") or {}).get("traceback"),
            )
            for data in self._rest.pages("steps", pipeline_run_id=run_id, exclude_retried=True, hydrate=True)
        ]
        return sorted(steps, key=lambda step: (step.start or datetime.max.replace(tzinfo=UTC), step.name))

    def stop_run(self, run_id: str) -> None:
        """Asks the controller of a run to stop it; it looks every few seconds.

        Args:
            run_id: of the run.
        """
        body = {"status": "stopping", "status_reason": "Stop requested."}
        self._rest.put(f"runs/{run_id}", body)

    def end_run(
        self, run_id: str, *, status: str = "stopped", reason: str = "Its launch on Lightning AI was stopped."
    ) -> None:
        """Records the end of a run whose controller was killed and can't do so itself; a finished run stays as it is.

        Args:
            run_id: of the run.
            status: `stopped` or `failed`.
            reason: shown with the run.
        """
        end_run(run_id, status=status, reason=reason, get=self._rest.get, put=self._rest.put)

    def run_url(self, run_id: str, project_id: str) -> str:
        """Builds the address of a run's page on the dashboard.

        Args:
            run_id: of the run.
            project_id: of its project.

        Returns:
            The address.
        """
        info = self.info()
        project = project_id if info.pro else self.project(project_id).name
        return f"{info.dashboard_url}/projects/{project}/runs/{run_id}"

    def _with_settings(self, stack: Stack) -> Stack:
        orchestrators = self._rest.pages("components", type="orchestrator", name=stack.orchestrator, hydrate=True)
        settings = next(iter(orchestrators))["metadata"]["configuration"]
        return Stack(**{**vars(stack), "settings": settings})


def _stack(data: dict[str, Any]) -> Stack:
    components = data["metadata"]["components"]
    orchestrator, artifact_store = components["orchestrator"][0], components["artifact_store"][0]
    integrations = {one["body"]["integration"] for several in components.values() for one in several}
    return Stack(
        id=data["id"],
        name=data["name"],
        orchestrator=orchestrator["name"],
        orchestrator_flavor=orchestrator["body"]["flavor_name"],
        artifact_store_flavor=artifact_store["body"]["flavor_name"],
        integrations=tuple(sorted(name for name in integrations if name and name != "built-in")),
    )


def _time(text: str | None) -> datetime | None:
    # The server's times are UTC and don't say so.
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
