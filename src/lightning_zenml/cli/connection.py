"""The services that a command talks to, each found out when it is first needed, as everything else here does it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lightning_zenml.cli.errors import CliError
from lightning_zenml.cli.zenml_login import ZenMLLogin
from lightning_zenml.launch.lightning.client import Credentials, Lightning
from lightning_zenml.zenml_api.finding import ZenMLFinder
from lightning_zenml.zenml_api.models import Stack
from lightning_zenml.zenml_api.rest import ZenMLServerError
from lightning_zenml.zenml_api.server import ZenMLServer

_NO_SERVER = (
    "There is no ZenML server. Log in with `zenml login URL`, or set ZENML_STORE_URL and ZENML_STORE_API_KEY (the key "
    "of a service account)."
)
_NO_KEY = (
    "There is no key for the ZenML server {url}. Log in with `zenml login {url}`, or set ZENML_STORE_API_KEY (the key "
    "of a service account)."
)
_NO_LIGHTNING_KEY = (
    "There is no Lightning API key, neither in LIGHTNING_API_KEY nor among the attributes of the stack's orchestrator. "
    "Find it on lightning.ai under Global Settings > Keys, and set LIGHTNING_USER_ID and LIGHTNING_API_KEY."
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the user has named on the command line; '' for what they have not.

    Args:
        stack: name or id of the ZenML stack.
        teamspace: name of the Lightning teamspace, or `owner/name`.
    """

    stack: str = ""
    teamspace: str = ""


class Connection:
    """ZenML and Lightning AI.

    Args:
        choice: what the user has named.
        environ: environment variables.
        folder: folder of the user's project.
    """

    def __init__(self, choice: Choice, environ: Mapping[str, str] = os.environ, folder: Path | None = None) -> None:
        self._choice = choice
        self._environ = environ
        self.login = ZenMLLogin.find(environ, folder or Path.cwd())

    @cached_property
    def zenml(self) -> ZenMLServer:
        """The ZenML server.

        Raises:
            CliError: where there is no server, or no key for it; tells of a missing Lightning key, too.
        """
        login = self.login
        problems = [] if login.url else [_NO_SERVER]
        if login.url and not (login.api_key or login.token):
            problems.append(_NO_KEY.format(url=login.url))
        if problems:
            if not self._environ.get("LIGHTNING_API_KEY"):
                problems.append(_NO_LIGHTNING_KEY)
            raise CliError(*problems)
        return ZenMLServer(login.url, login.api_key, token=login.token)

    @cached_property
    def finder(self) -> ZenMLFinder:
        """What the ZenML server knows of launches."""
        return ZenMLFinder(self.zenml)

    @cached_property
    def stack(self) -> Stack:
        """The stack that was named, else the active one if it is one of ours, else the only one of ours.

        Raises:
            ZenMLServerError: if there is no such stack, or several are ours and none is named.
        """
        if self._choice.stack:
            return self.zenml.stack(self._choice.stack)
        if self.login.stack:
            try:
                active = self.zenml.stack(self.login.stack)
            except ZenMLServerError as error:
                if error.status != 404:
                    raise
            else:
                if active.orchestrator_flavor == "lightning":
                    return active
        return self.zenml.stack()

    @cached_property
    def credentials(self) -> Credentials:
        """Variables first, then the attributes of the stack's orchestrator.

        Raises:
            CliError: where there is no key of Lightning's.
        """
        environ = self._environ
        is_whole = environ.get("LIGHTNING_API_KEY") and (self._choice.teamspace or environ.get("LIGHTNING_TEAMSPACE"))
        if is_whole:
            return Credentials.resolve(environ, teamspace=self._choice.teamspace)
        keys = None if environ.get("LIGHTNING_API_KEY") else self.finder.keys(self.stack.orchestrator)
        if keys is not None and not keys.api_key:
            raise CliError(_NO_LIGHTNING_KEY)
        found = Credentials.resolve(
            environ,
            user_id=keys.user_id if keys else None,
            api_key=keys.api_key if keys else None,
            teamspace=self._choice.teamspace,
        )
        if found.teamspace:
            return found
        teamspace = self.stack.teamspace
        return replace(
            found,
            teamspace=teamspace.name,
            username=found.username or teamspace.username,
            organization=found.organization or teamspace.organization,
        )

    @cached_property
    def lightning(self) -> Lightning:
        """The teamspace.

        Raises:
            LaunchError: if Lightning refuses the key, has no such teamspace, or can't be reached.
        """
        return Lightning.connect(self.credentials)

    @property
    def is_of_stack(self) -> bool:
        """Whether the teamspace is the one that the stack's orchestrator names, where it names one."""
        named, lightning = self.stack.teamspace.name or "", self.lightning
        return not named or named.rpartition("/")[2] == lightning.teamspace
