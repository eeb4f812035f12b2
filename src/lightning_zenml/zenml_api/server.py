"""Reads runs, steps, stacks and versions from a ZenML server over REST.

For the Action, which runs where importing ZenML would cost seconds. Endpoints and fields are those that
`relied_on` lists.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from lightning_zenml.codes import Code
from lightning_zenml.zenml_api.models import Project, Run, ServerInfo, Stack, Step, Teamspace
from lightning_zenml.zenml_api.relied_on import missing
from lightning_zenml.zenml_api.rest import OddAnswerError, ZenMLRest, ZenMLServerError, patiently
from lightning_zenml.zenml_api.run_end import FINISHED, PAUSED, RestRuns, end_run, spared
from lightning_zenml.zenml_api.versions import TESTED, is_tested, is_too_old, named

_OF_ZENML = frozenset({"auth_scheme", "database_type", "deployment_type"})
"""Some of what a ZenML server says of itself; another product's may have a version, too."""

_PAUSES_OF_MINTING = (1.0, 3.0)
"""Seconds between the tries for a token."""
_TOKEN = re.compile(r"[\w.~+/=-]{16,}")
_STATUSES_OF_NO_TOKENS = frozenset({404, 405, 410, 501})
_WORDS_OF_NO_TOKENS = re.compile(r"not (supported|implemented|allowed|enabled)|unsupported|disabled", re.IGNORECASE)


class NoTokensError(ZenMLServerError):
    """The server makes no short-lived tokens."""

    code = Code.LONG_LIVED_KEY


_NO_STACK = (
    "No ZenML stack has a Lightning orchestrator yet: `zenml orchestrator register NAME --flavor=lightning "
    "--teamspace=owner/name`, and a stack with it, by `zenml stack register`."
)


class ZenMLServer:
    """A ZenML server, as a service account sees it.

    Every method raises `ZenMLServerError` when the server refuses, or can't be reached.

    Args:
        url: base URL of the server, as in `ZENML_STORE_URL`.
        api_key: API key of a service account, as in `ZENML_STORE_API_KEY`.
        timeout: seconds that one request may take.
        retries: number of times that a request is sent again when the server is busy, can't be reached, or its answer
            is odd, see `patience`.
        token: access token of somebody who has logged in, instead of the key; '': there is none.

    Attributes:
        url: base URL of the server without a slash at the end.
        rest: the server's REST API, for this package.
    """

    def __init__(self, url: str, api_key: str, *, timeout: float = 30, retries: int = 4, token: str = "") -> None:
        self.url = url.rstrip("/")
        self.rest = ZenMLRest(self.url, api_key, timeout=timeout, retries=retries, token=token)
        self._info: ServerInfo | None = None
        self._projects: dict[str, Project] = {}

    @property
    def access(self) -> dict[str, str]:
        """The variable by which ZenML's own client gets the same access."""
        return self.rest.access

    @patiently
    def info(self) -> ServerInfo:
        """Gets version and dashboard; refuses a server that isn't ZenML's, is too old, or lacks what is relied on.

        Returns:
            What the server says of itself.
        """
        if self._info is None:
            data = self._public_info()
            version = str(data["version"])
            notice = self._check_version(version)
            pro = data.get("deployment_type") == "cloud"
            dashboard = data.get("pro_dashboard_url") or data.get("dashboard_url") if pro else data.get("server_url")
            address = (dashboard or self.url).rstrip("/")
            self._info = ServerInfo(version=version, dashboard_url=address, pro=pro, notice=notice)
        return self._info

    @patiently
    def mint_token(self, expires_in: int) -> str:
        """Makes a short-lived token that can stand in for the API key (as `ZENML_STORE_API_TOKEN`).

        Args:
            expires_in: seconds that the token is to live; fewer where the server allows no more.

        Returns:
            The token.

        Raises:
            NoTokensError: if the server says in every try that it makes none; whatever else goes wrong may pass.
        """
        refusals = 0
        for pause in (*_PAUSES_OF_MINTING, None):
            try:
                return self._minted(expires_in)
            except ZenMLServerError as error:
                refusals += _makes_none(error)
                if pause is None and refusals > len(_PAUSES_OF_MINTING):
                    raise NoTokensError(str(error), error.status) from error
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError

    def _minted(self, expires_in: int) -> str:
        query = {"token_type": "generic", "expires_in": expires_in}
        try:
            token = self.rest.get("api_token", **query)
        except ZenMLServerError as error:
            limit = re.search(r"is (\d+) seconds", str(error))
            if error.status != 400 or limit is None:
                raise
            token = self.rest.get("api_token", **query | {"expires_in": int(limit[1])})
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ZenMLServerError(f"The ZenML server {self.url} answers with something that is no token.")
        return token

    @patiently
    def project(self, name_or_id: str | None = None) -> Project:
        """Finds a project.

        Args:
            name_or_id: name or UUID of the project; None: the account's default one, else the only one, else
                `default`.

        Returns:
            The project.
        """
        if not name_or_id:
            name_or_id = self.rest.get("current-user")["body"].get("default_project_id")
        if not name_or_id:
            projects = list(self.rest.pages("projects"))
            name_or_id = projects[0]["id"] if len(projects) == 1 else "default"
        if name_or_id not in self._projects:
            data = self.rest.get(f"projects/{name_or_id}")
            self._projects[name_or_id] = Project(id=data["id"], name=data["name"])
        return self._projects[name_or_id]

    @patiently
    def stack(self, name_or_id: str | None = None) -> Stack:
        """Finds a stack.

        Args:
            name_or_id: name or UUID of the stack; None: the only one whose orchestrator has the flavor `lightning`.

        Returns:
            The stack.
        """
        stacks = [Stack.from_json(data) for data in self.rest.pages("stacks", hydrate=True)]
        if name_or_id:
            found = [stack for stack in stacks if name_or_id in {stack.name, stack.id}]
            if not found:
                names = ", ".join(sorted(stack.name for stack in stacks))
                no_stack = f"There is no ZenML stack `{name_or_id}`; there are: {names}."
                raise ZenMLServerError(no_stack, 404, code=Code.STACK)
        else:
            found = [stack for stack in stacks if stack.orchestrator_flavor == "lightning"]
            if len(found) != 1:
                names = ", ".join(sorted(stack.name for stack in found))
                which = f"Which ZenML stack? Name one with a Lightning orchestrator: {names}." if names else _NO_STACK
                raise ZenMLServerError(which, code=Code.STACK)
        return replace(found[0], teamspace=self._teamspace(found[0].orchestrator))

    @patiently
    def run(self, run_id: str) -> Run:
        """Gets a run.

        Args:
            run_id: UUID of the run.

        Returns:
            The run as it stands.
        """
        data = self.rest.get(f"runs/{run_id}", hydrate=True)
        return Run.from_json(data, self.run_url(run_id, data["body"]["project_id"]))

    @patiently
    def runs_of_launch(self, launch_id: str) -> list[Run]:
        """Finds the runs that a launch made: their orchestrator run ids begin with its id.

        Args:
            launch_id: id of the launch, as in the Action's output.

        Returns:
            The runs, oldest first.
        """
        filters = {"orchestrator_run_id": f"startswith:{launch_id}-", "sort_by": "asc:created"}
        return [self.run(data["id"]) for data in self.rest.pages("runs", **filters)]

    @patiently
    def steps(self, run_id: str) -> list[Step]:
        """Gets the steps of a run that have started, in that order.

        Args:
            run_id: UUID of the run.

        Returns:
            The steps, each with its last try.
        """
        found = self.rest.pages("steps", pipeline_run_id=run_id, exclude_retried=True, hydrate=True)
        steps = [Step.from_json(data) for data in found]
        return sorted(steps, key=lambda step: (step.start or datetime.max.replace(tzinfo=UTC), step.name))

    @patiently
    def end_run(
        self,
        run_id: str,
        *,
        status: str = "stopped",
        reason: str = "Its launch on Lightning AI was stopped.",
        has_begun: bool = True,
    ) -> None:
        """Records the end of a run whose controller was killed and can't do so itself; a finished run stays as it is.

        Args:
            run_id: UUID of the run.
            status: `stopped` or `failed`.
            reason: the words that ZenML shows with the run.
            has_begun: whether the run has begun in the launch; if not, a run that is resumed may be on its way to it.
        """
        runs = RestRuns(self.rest.get, self.rest.put)
        end_run(run_id, status=status, reason=reason, runs=runs, spared=spared(has_begun=has_begun))

    @patiently
    def ask_to_stop(self, run_id: str, reason: str = "The workflow on GitHub was cancelled.") -> None:
        """Asks a run to stop, wherever it is: its controller looks for that. One that is over stays as it is.

        Args:
            run_id: UUID of the run.
            reason: the words that ZenML shows with the run.
        """
        runs = RestRuns(self.rest.get, self.rest.put)
        if runs.status(run_id) not in FINISHED | {PAUSED}:
            runs.update_run(run_id, "stopping", reason)

    def run_url(self, run_id: str, project_id: str) -> str:
        """Builds the address of a run's page on the dashboard.

        Args:
            run_id: UUID of the run.
            project_id: UUID of the run's project.

        Returns:
            The address.
        """
        info = self.info()
        project = project_id if info.pro else self.project(project_id).name
        return f"{info.dashboard_url}/projects/{project}/runs/{run_id}"

    def _public_info(self) -> dict[str, Any]:
        no_zenml = f"{self.url} isn't a ZenML server. Check ZENML_STORE_URL: it is the address of the dashboard."
        try:
            data = self.rest.public("info")
        except ZenMLServerError as error:
            # An answer that was no JSON has a status, too.
            if error.status not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
                raise
            raise ZenMLServerError(no_zenml, error.status, code=Code.NO_ZENML) from None
        if not isinstance(data, dict) or "version" not in data or _OF_ZENML.isdisjoint(data):
            raise OddAnswerError(no_zenml)
        return data

    def _check_version(self, version: str) -> str | None:
        """Refuses a version that won't do; returns what to tell of one that nobody has tested."""
        server = f"The ZenML server {self.url} has version {version}"
        if is_too_old(version):
            too_old = f"{server}, which is too old; {TESTED} work. Upgrade the server."
            raise ZenMLServerError(too_old, code=Code.ZENML_VERSION)
        if is_tested(version):
            return None
        lacks = missing(self.rest.description())
        if lacks:
            unsuitable = f"{server}, which lacks what is relied on: {named(lacks)}. {TESTED} work."
            raise ZenMLServerError(unsuitable, code=Code.ZENML_VERSION)
        known = "has all that is relied on of its REST API" if lacks is not None else "does not describe its REST API"
        return f"{server}, which isn't tested with this action: {TESTED} are. It {known}."

    def _teamspace(self, orchestrator: str) -> Teamspace:
        found = list(self.rest.pages("components", type="orchestrator", name=orchestrator, hydrate=True))
        return Teamspace.from_json(found[0]["metadata"]["configuration"])


def _makes_none(error: ZenMLServerError) -> bool:
    """Whether these are the server's own words, not a proxy's, on that it makes no tokens."""
    if not error.said:
        return False
    refuses = error.status in (400, 403, 422) and _WORDS_OF_NO_TOKENS.search(error.said)
    return error.status in _STATUSES_OF_NO_TOKENS or bool(refuses)
