"""Deployments: a launch in the environment of its branch, which a pull request shows with a link.

Source: https://docs.github.com/rest/deployments/deployments and https://docs.github.com/rest/deployments/statuses.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from lightning_zenml.action.github.client import DESCRIPTION_LIMIT
from lightning_zenml.action.github.rest import GitHubRest, expected

TASK = "lightning-zenml"
"""What tells these deployments from others to an environment of the same name."""
_PAGE = 100
_MOST_EARLIER = 5
"""How many earlier deployments are looked at: each run ends those before it, so there are but few."""
_LOOKS = 2
"""How often is looked for one that may be there: one empty list is no proof."""


class DeploymentState(StrEnum):
    """How a deployment stands."""

    IN_PROGRESS = "in_progress"
    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    INACTIVE = "inactive"


@dataclass(frozen=True, kw_only=True)
class _Deployment:
    """A deployment of the same name; `attempt` is that of its launch."""

    id: int
    attempt: str


class Deployments:
    """The deployments to one environment that tell of launches of one name.

    Args:
        rest: sends the requests.
        repository: name of the repository, `owner/name`.
        environment: name of the environment.
        name: what launches of the same kind have in common.
        attempt: what tells this launch's deployment from others of the name.
    """

    def __init__(self, rest: GitHubRest, repository: str, *, environment: str, name: str, attempt: str) -> None:
        self._rest = rest
        self._path = f"/repos/{repository}/deployments"
        self._environment = environment
        self._name = name
        self._attempt = attempt

    def put(self, sha: str) -> int:
        """Creates the deployment, unless it is there.

        Args:
            sha: hash of the commit.

        Returns:
            Its id.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        body = {
            "ref": sha,
            "task": TASK,
            "environment": self._environment,
            "payload": {"name": self._name, "attempt": self._attempt},
            "description": "A run on Lightning AI",
            # It tells of a run, whatever else the commit has still to pass.
            "required_contexts": [],
            "auto_merge": False,
            "transient_environment": True,
            "production_environment": False,
        }

        def make() -> int:
            answer = self._rest.send("POST", self._path, body, repeatable=False)
            with expected():
                return int(answer["id"])

        return self._rest.made_once(lambda: self._find(sha), make)

    def set_status(
        self,
        deployment: int,
        state: DeploymentState,
        *,
        description: str,
        environment_url: str | None,
        log_url: str | None,
    ) -> None:
        """Sets the status of a deployment.

        Args:
            deployment: id of the deployment.
            state: how it stands.
            description: one sentence; what is longer than GitHub takes is cut.
            environment_url: page of what is deployed.
            log_url: page of the workflow run.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        if len(description) > DESCRIPTION_LIMIT:
            description = description[: DESCRIPTION_LIMIT - 1] + "…"
        pages = {"environment_url": environment_url, "log_url": log_url}
        body = {
            "state": state,
            "description": description,
            **{name: url for name, url in pages.items() if url},
            # It knows nothing of transient environments, and nothing of whose deployment it ends.
            "auto_inactive": False,
        }
        self._rest.send("POST", f"{self._path}/{deployment}/statuses", body)

    def end_earlier(self, deployment: int) -> None:
        """Makes the earlier deployments of the name inactive, and this one where there is a newer one by now.

        Args:
            deployment: id of the deployment that has ended.

        Raises:
            GitHubError: if GitHub doesn't answer or refuses, see its subclasses.
        """
        known = sorted((one.id for one in self._list()), reverse=True)
        overtaken = [one for one in known if one < deployment][:_MOST_EARLIER]
        if known and known[0] > deployment:
            overtaken.insert(0, deployment)
        for one in overtaken:
            if self._state(one) != DeploymentState.INACTIVE:
                newer = "A newer run has taken its place"
                self.set_status(one, DeploymentState.INACTIVE, description=newer, environment_url=None, log_url=None)

    def _find(self, sha: str) -> int | None:
        for _ in range(_LOOKS):
            if found := [one.id for one in self._list(sha=sha) if one.attempt == self._attempt]:
                return max(found)
        return None

    def _list(self, **query: str) -> list[_Deployment]:
        """Those of the name, as far as the newest hundred hold them."""
        wanted = urlencode({"environment": self._environment, "task": TASK, **query})
        items = list(islice(self._rest.pages(f"{self._path}?{wanted}"), _PAGE))
        with expected():
            found = [(int(item["id"]), _payload(item["payload"])) for item in items]
        return [
            _Deployment(id=number, attempt=str(payload.get("attempt")))
            for number, payload in found
            if payload.get("name") == self._name
        ]

    def _state(self, deployment: int) -> str:
        items = list(islice(self._rest.pages(f"{self._path}/{deployment}/statuses"), _PAGE))
        with expected():
            return str(max(items, key=lambda item: int(item["id"]))["state"]) if items else ""


def _payload(given: Any) -> dict[str, Any]:
    """A deployment's payload, which GitHub has as text or as an object; of others it may be anything."""
    try:
        payload = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}
