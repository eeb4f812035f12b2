"""What a ZenML server answers, as plain records: stacks, runs, steps and what a run has made.

Fields are those of ZenML 0.98 (`zenml/models/v2`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lightning_zenml.zenml_api.run_end import FINISHED


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

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Stack:
        """Reads a hydrated `StackResponse`; its orchestrator's settings are not part of it."""
        components = data["metadata"]["components"]
        orchestrator, artifact_store = components["orchestrator"][0], components["artifact_store"][0]
        integrations = {one["body"]["integration"] for several in components.values() for one in several}
        return cls(
            id=data["id"],
            name=data["name"],
            orchestrator=orchestrator["name"],
            orchestrator_flavor=orchestrator["body"]["flavor_name"],
            artifact_store_flavor=artifact_store["body"]["flavor_name"],
            integrations=tuple(sorted(name for name in integrations if name and name != "built-in")),
        )


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A version of a ZenML model; `model` is the model's name."""

    id: str
    model: str

    @classmethod
    def from_json(cls, data: dict[str, Any] | None) -> ModelVersion | None:
        """Reads a `ModelVersionResponse`."""
        return cls(id=data["id"], model=data["body"]["model"]["name"]) if data else None


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
        pipeline_id: id of its pipeline.
        index: counts the runs of its pipeline.
        model_version: that the pipeline is configured with.
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
    pipeline_id: str | None = None
    index: int | None = None
    model_version: ModelVersion | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the status is final."""
        return self.status in FINISHED

    @property
    def goes_on_in(self) -> str:
        """Id of the launch in which it goes on; '' when it has ended or waits.

        The server keeps the first orchestrator run id of a run that is resumed or retried; the metadata has the newest.
        """
        if self.finished or self.status == "paused":
            return ""
        return str(self.metadata.get("orchestrator_run_id") or "").rpartition("-")[0]

    @classmethod
    def from_json(cls, data: dict[str, Any], url: str) -> Run:
        """Reads a hydrated `PipelineRunResponse`.

        Args:
            data: the response.
            url: the run's page.
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
        name: of its invocation.
        status: ZenML's, e.g. `running`, `completed`, `cached`.
        start: when it started.
        end: when it ended.
        traceback: of the exception that it failed with.
        log_id: of what it printed, for `ZenMLResults.log`.
        model_version: that the step itself is configured with.
        metadata: all its metadata.
    """

    name: str
    status: str
    start: datetime | None = None
    end: datetime | None = None
    traceback: str | None = None
    log_id: str | None = None
    model_version: ModelVersion | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def duration(self) -> timedelta | None:
        """How long it took; None while it runs."""
        return self.end - self.start if self.start and self.end else None

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
class Artifact:
    """A version of an artifact that a run has made.

    Args:
        name: of the artifact.
        version: of it, a number or the user's own name.
        type: ZenML's, e.g. `DataArtifact`, `ModelArtifact`.
        uri: where it lies in the artifact store.
        url: page of the dashboard that shows it.
        metadata: all its metadata, what its materializer found out by itself among it.
    """

    name: str
    version: str
    type: str
    uri: str
    url: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The steps of a run, those that have not started yet among them, and which step waits for which.

    Args:
        steps: names of the invocations.
        edges: (name of the step before, name of the step after).
    """

    steps: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]


def _time(text: str | None) -> datetime | None:
    # The server's times are UTC and don't say so.
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
