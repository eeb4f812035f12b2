"""What a ZenML server answers, as plain records: stacks, runs, steps and what a run has made.

Fields are those of ZenML 0.98 (`zenml/models/v2`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lightning_zenml.launch.payload.records import RecordError
from lightning_zenml.zenml_api.run_end import FINISHED, LAUNCH_END, PAUSED, LaunchEnd

PROVENANCE = "github"
"""Name of a run's metadata with where it comes from, for one that the Action has started."""
LAPTOP = "laptop"
"""The same for one that `lightning-zenml run` has started."""
START = "lightning_start"
"""Name of a run's metadata with where it was started, for whoever resumes it somewhere else."""
METER = "lightning_meter"
"""Name of a run's metadata with what its studio costs, and of a step's with what its own machines cost, see `Meter`."""
USAGE = "lightning_usage"
"""Name of a step's metadata with what was used of its machine while it ran, see `Usage`."""
OWN_METADATA = frozenset({PROVENANCE, LAPTOP, START, LAUNCH_END, METER, USAGE})
"""What we note on a run ourselves, so that it is no result of it."""
_OF_NO_INTEGRATION = (None, "", "built-in", "custom")
"""What ZenML has in place of an integration's name for its own flavors, and for those that somebody has registered."""


@dataclass(frozen=True, kw_only=True)
class ServerInfo:
    """A ZenML server.

    Args:
        version: ZenML's version on the server, e.g. `0.98.0`.
        dashboard_url: base URL of the server's dashboard, without a slash at the end.
        pro: whether the server is a workspace of ZenML Pro, where pages have other addresses.
        notice: what to tell of a version that nobody has tested; None for one that was.
    """

    version: str
    dashboard_url: str
    pro: bool = False
    notice: str | None = None


@dataclass(frozen=True, kw_only=True)
class Project:
    """A ZenML project.

    Args:
        id: UUID of the project.
        name: name of the project.
    """

    id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Teamspace:
    """Where on Lightning AI an orchestrator runs, as far as its attributes say; its credentials are not kept.

    Args:
        name: name of the teamspace, or `owner/name`.
        username: name of the user that owns the teamspace.
        organization: name of the organization that owns the teamspace.
    """

    name: str | None = None
    username: str | None = None
    organization: str | None = None

    @classmethod
    def from_json(cls, configuration: dict[str, Any]) -> Teamspace:
        """Reads the configuration of a hydrated `ComponentResponse`."""
        return cls(
            name=configuration.get("teamspace"),
            username=configuration.get("username"),
            organization=configuration.get("organization"),
        )


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A ZenML stack.

    Args:
        id: UUID of the stack.
        name: name of the stack.
        orchestrator: name of the stack's orchestrator.
        orchestrator_flavor: flavor of the stack's orchestrator, e.g. `lightning`.
        orchestrator_id: UUID of the stack's orchestrator.
        artifact_store_flavor: flavor of the stack's artifact store, e.g. `s3`.
        integrations: names of the ZenML integrations that the stack's components need.
        teamspace: the teamspace that the stack's orchestrator names.
    """

    id: str
    name: str
    orchestrator: str
    orchestrator_flavor: str
    orchestrator_id: str = ""
    artifact_store_flavor: str = ""
    integrations: tuple[str, ...] = ()
    teamspace: Teamspace = Teamspace()

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Stack:
        """Reads a hydrated `StackResponse`; the attributes of its orchestrator are not part of it."""
        components = data["metadata"]["components"]
        orchestrator = components["orchestrator"][0]
        integrations = {one["body"]["integration"] for several in components.values() for one in several}
        return cls(
            id=data["id"],
            name=data["name"],
            orchestrator=orchestrator["name"],
            orchestrator_flavor=orchestrator["body"]["flavor_name"],
            orchestrator_id=orchestrator["id"],
            artifact_store_flavor=components["artifact_store"][0]["body"]["flavor_name"],
            integrations=tuple(sorted(name for name in integrations if name not in _OF_NO_INTEGRATION)),
        )


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A version of a ZenML model.

    Args:
        id: UUID of the version.
        model: name of the model.
    """

    id: str
    model: str

    @classmethod
    def from_json(cls, data: dict[str, Any] | None) -> ModelVersion | None:
        """Reads a `ModelVersionResponse`; None for none."""
        return cls(id=data["id"], model=data["body"]["model"]["name"]) if data else None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A pipeline run.

    Args:
        id: UUID of the run.
        name: name of the run.
        status: ZenML's status of the run, e.g. `running`, `completed`, `failed`.
        pipeline: name of the run's pipeline.
        url: address of the run's page on the dashboard.
        orchestrator_url: address of the run on Lightning AI; None until it is known.
        start: time when the run started.
        end: time when the run ended.
        stack_id: UUID of the run's stack.
        pipeline_id: UUID of the run's pipeline.
        index: number of the run among those of its pipeline, from 1.
        model_version: the model version that the pipeline is configured with.
        metadata: all metadata of the run, ZenML's own names and values.
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
    pipeline_id: str | None = None
    index: int | None = None
    model_version: ModelVersion | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the status is final."""
        return self.status in FINISHED

    @property
    def is_over(self) -> bool:
        """Whether nothing runs of it any more: it has ended, or waits for something outside."""
        return self.finished or self.status == PAUSED

    @property
    def launch_id(self) -> str:
        """Id of the launch that it was in last; '' for a run that no launch of ours has made."""
        launch_id, _, run_id = str(self.metadata.get("orchestrator_run_id") or "").rpartition("-")
        return launch_id if run_id == self.id[:8] else ""

    @property
    def goes_on_in(self) -> str:
        """Id of the launch in which it goes on; '' when it has ended or waits.

        The server keeps the first orchestrator run id of a run that is resumed or retried; the metadata has the newest.
        """
        if self.is_over:
            return ""
        return str(self.metadata.get("orchestrator_run_id") or "").rpartition("-")[0]

    def end_of(self, launch_id: str) -> LaunchEnd | None:
        """How a launch of the run ended; None where a follower saw it, so that nobody has kept it.

        Args:
            launch_id: id of the launch.
        """
        try:
            end = LaunchEnd.from_json(self.metadata[LAUNCH_END])
        except (KeyError, RecordError):
            return None
        return end if end.launch == launch_id else None

    @classmethod
    def from_json(cls, data: dict[str, Any], url: str) -> Run:
        """Reads a hydrated `PipelineRunResponse`.

        Args:
            data: the response as JSON.
            url: address of the run's page on the dashboard.
        """
        body, metadata, resources = data["body"], data["metadata"], data["resources"]
        pipeline = resources.get("pipeline") or {}
        return cls(
            id=data["id"],
            name=data["name"],
            status=body["status"],
            pipeline=pipeline.get("name", ""),
            url=url,
            orchestrator_url=metadata["run_metadata"].get("orchestrator_url"),
            start=_time(metadata["start_time"]),
            end=_time(metadata["end_time"]),
            stack_id=(resources.get("stack") or {}).get("id"),
            pipeline_id=pipeline.get("id"),
            index=body.get("index"),
            model_version=ModelVersion.from_json(resources.get("model_version")),
            metadata=metadata["run_metadata"],
        )


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a run.

    Args:
        name: name of the step's invocation.
        status: ZenML's status of the step, e.g. `running`, `completed`, `cached`.
        start: time when the step started.
        end: time when the step ended.
        traceback: traceback of the exception that the step failed with.
        log_id: UUID of what the step printed, for `ZenMLResults.log`.
        model_version: the model version that the step itself is configured with.
        metadata: all metadata of the step, ZenML's own names and values.
    """

    name: str
    status: str
    start: datetime | None = None
    end: datetime | None = None
    traceback: str | None = None
    log_id: str | None = None
    model_version: ModelVersion | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Step:
        """Reads a hydrated `StepRunResponse`."""
        body, metadata, resources = data["body"], data["metadata"], data["resources"]
        logs = {log["body"]["source"]: log["id"] for log in resources.get("log_collection") or ()}
        return cls(
            name=data["name"],
            status=body["status"],
            start=_time(body["start_time"]),
            end=_time(body["end_time"]),
            traceback=(metadata.get("exception_info") or {}).get("traceback"),
            log_id=logs.get("step"),
            model_version=ModelVersion.from_json(resources.get("model_version")),
            metadata=metadata["run_metadata"],
        )


@dataclass(frozen=True, kw_only=True)
class Visualization:
    """One of the ways in which an artifact can be looked at.

    Args:
        artifact_id: UUID of the artifact's version.
        index: number of the visualization among those of the artifact, from 0.
        type: ZenML's type of the visualization: `csv`, `html`, `image`, `json` or `markdown`.
        uri: address of the visualization in the artifact store.
    """

    artifact_id: str
    index: int
    type: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A version of an artifact that a run has made.

    Args:
        name: name of the artifact.
        version: version of the artifact, a number or the user's own name.
        type: ZenML's type of the artifact, e.g. `DataArtifact`, `ModelArtifact`.
        uri: address of the artifact's data in the artifact store.
        url: address of the dashboard's page that shows the artifact.
        metadata: all metadata of the artifact, also what its materializer found out by itself.
        visualizations: how the artifact can be looked at.
    """

    name: str
    version: str
    type: str
    uri: str
    url: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    visualizations: tuple[Visualization, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The steps of a run, those that have not started yet among them, and which step waits for which.

    Args:
        steps: names of the steps' invocations.
        edges: pairs of the name of a step and that of one that waits for it.
    """

    steps: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]


def _time(text: str | None) -> datetime | None:
    # The server's times are UTC and don't say so.
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
