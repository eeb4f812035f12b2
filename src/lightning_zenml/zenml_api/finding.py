"""Finds launches by what ZenML knows of their runs: a name, a pull request, whether one goes on; and schedules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lightning_zenml.zenml_api.models import PROVENANCE, Run
from lightning_zenml.zenml_api.rest import ZenMLServerError, patiently
from lightning_zenml.zenml_api.run_end import FINISHED
from lightning_zenml.zenml_api.server import ZenMLServer

_UNDER_WAY = ("initializing", "provisioning", "running", "retrying", "resuming", "paused", "stopping")
"""ZenML's statuses of a run that has not ended."""
_CANDIDATES = 100
"""Runs at most that are looked at for those of one pull request, and those that are listed."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule in ZenML.

    Args:
        id: UUID of the schedule.
        name: name of the schedule.
        is_active: whether it is to run: neither paused nor archived.
        is_archived: whether it was deleted and ZenML still tells of it.
        orchestrator_id: UUID of the orchestrator that it was made on.
    """

    id: str
    name: str
    is_active: bool
    is_archived: bool
    orchestrator_id: str | None


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Who an orchestrator is on Lightning AI, as its attributes say; None where they don't, or name a ZenML secret.

    Args:
        user_id: id of the user.
        api_key: the API key.
    """

    user_id: str | None = None
    api_key: str | None = None

    def __repr__(self) -> str:
        return "Keys(...)"


class ZenMLFinder:
    """Finds what a ZenML server knows of launches.

    Every method raises `ZenMLServerError` when the server refuses, or can't be reached.

    Args:
        server: the server.
    """

    def __init__(self, server: ZenMLServer) -> None:
        self._server = server
        self._rest = server.rest

    @patiently
    def under_way(self) -> list[Run]:
        """Gets the runs of launches that have not ended, the newest first."""
        page = self._newest(status=f"oneof:{json.dumps(_UNDER_WAY)}")
        return [run for run in page if run.launch_id and not run.finished]

    @patiently
    def ended(self, limit: int) -> list[Run]:
        """Gets the newest runs of launches that have ended.

        Args:
            limit: number of runs at most.
        """
        page = self._newest(status=f"oneof:{json.dumps(sorted(FINISHED))}")
        return [run for run in page if run.launch_id][:limit]

    @patiently
    def begun(self, since: datetime, until: datetime) -> list[Run]:
        """Gets the runs of launches that were made in a period, the oldest first.

        Args:
            since: beginning of the period, with a time zone.
            until: end of the period, which is no part of it any more.
        """
        found = self._rest.pages("runs", hydrate=True, sort_by="asc:created", created=f"gte:{_time(since)}")
        runs = []
        for data in found:
            if datetime.fromisoformat(data["body"]["created"]).replace(tzinfo=UTC) >= until:
                break
            runs.append(Run.from_json(data, self._server.run_url(data["id"], data["body"]["project_id"])))
        return [run for run in runs if run.launch_id]

    @patiently
    def of_repository(self, repository: str) -> list[Run]:
        """Gets the newest runs that the Action has started for a repository, the newest first.

        Args:
            repository: name of the repository, `owner/name`.
        """
        return [run for run in self._newest(tags=[repository]) if run.launch_id]

    @patiently
    def all_of_repository(self, repository: str, *, branch: str = "", since: datetime | None = None) -> list[Run]:
        """Gets all runs that the Action has started for a repository.

        Args:
            repository: name of the repository, `owner/name`.
            branch: only those of this branch; '': of all.
            since: only those that were made since then, a time with a time zone; None: ever.
        """
        tags = [repository, *([f"branch:{branch}"] if branch else [])]
        filters = {"tags": tags, **({"created": f"gte:{_time(since)}"} if since else {})}
        found = self._rest.pages("runs", hydrate=True, sort_by="desc:created", **filters)
        runs = [Run.from_json(data, self._server.run_url(data["id"], data["body"]["project_id"])) for data in found]
        return [run for run in runs if run.launch_id]

    @patiently
    def named(self, name_or_id: str) -> list[Run]:
        """Gets the runs of launches with this name, or the one with this UUID; in several projects, several."""
        if _is_uuid(name_or_id):
            try:
                found = [self._server.run(name_or_id)]
            except ZenMLServerError as error:
                if error.status != 404:
                    raise
                found = []
        else:
            found = list(self._newest(name=name_or_id))
        return [run for run in found if run.launch_id]

    @patiently
    def of_pull_request(self, repository: str, number: int, branch: str = "") -> list[Run]:
        """Gets the runs that the Action has started for a pull request, the newest first.

        Args:
            repository: name of the repository, `owner/name`.
            number: number of the pull request.
            branch: its branch, for those that a push has started, which know no pull request; '' where it isn't known.
        """
        found = self._newest(tags=[repository])
        return [run for run in found if run.launch_id and _is_of(run, number, branch)]

    @patiently
    def schedules(self) -> list[Schedule]:
        """Gets all schedules, archived ones among them where the server tells of those."""
        return [
            Schedule(
                id=data["id"],
                name=data["name"],
                is_active=bool(data["body"]["active"]) and not data["body"].get("is_archived"),
                is_archived=bool(data["body"].get("is_archived")),
                orchestrator_id=data["metadata"]["orchestrator_id"],
            )
            for data in self._rest.pages("schedules", hydrate=True)
        ]

    @patiently
    def has_snapshot(self, snapshot_id: str) -> bool:
        """Whether the server has this compiled pipeline: then what was made of it belongs to this server.

        Args:
            snapshot_id: UUID of the snapshot.
        """
        try:
            return bool(self._rest.get(f"pipeline_snapshots/{snapshot_id}")["id"])
        except ZenMLServerError as error:
            if error.status == 404:
                return False
            raise

    @patiently
    def keys(self, orchestrator: str) -> Keys:
        """Gets the credentials among the attributes of an orchestrator.

        Args:
            orchestrator: name of the orchestrator.
        """
        found = list(self._rest.pages("components", type="orchestrator", name=orchestrator, hydrate=True))
        configuration: Mapping[str, Any] = found[0]["metadata"]["configuration"]
        return Keys(user_id=_plain(configuration.get("user_id")), api_key=_plain(configuration.get("api_key")))

    def _newest(self, **filters: Any) -> Iterator[Run]:
        page = self._rest.get("runs", page=1, size=_CANDIDATES, hydrate=True, sort_by="desc:created", **filters)
        for data in page["items"]:
            yield Run.from_json(data, self._server.run_url(data["id"], data["body"]["project_id"]))


def _time(moment: datetime) -> str:
    """A moment as ZenML's filters take it: in UTC, without saying so."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _is_uuid(text: str) -> bool:
    digits = text.replace("-", "")
    return len(text) == 36 and len(digits) == 32 and all(digit in "0123456789abcdef" for digit in digits)


def _is_of(run: Run, number: int, branch: str) -> bool:
    github = run.metadata.get(PROVENANCE)
    if not isinstance(github, dict):
        return False
    if github.get("pull_request"):
        return bool(github["pull_request"] == number)
    return bool(branch) and github.get("branch") == branch


def _plain(value: Any) -> str | None:
    """An attribute; None for `{{a secret's name}}`, which only ZenML can look up."""
    return str(value) if value and not str(value).startswith("{{") else None
