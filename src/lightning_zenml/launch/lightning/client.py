"""The way to Lightning AI: credentials, teamspace, calls with retries.

It uses the SDK's generated REST client rather than its
`Studio` and `Job` classes, because those send POSTs again when an answer is lost, drop status codes, wait without
a bound, keep studios alive from daemon threads, and report every failed call with its arguments as telemetry.
"""

from __future__ import annotations

import base64
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

# The SDK asks a package index for a newer version of itself when it is imported.
os.environ.setdefault("LIGHTNING_DISABLE_VERSION_CHECK", "1")

import urllib3
from lightning_sdk.lightning_cloud import env as sdk_env
from lightning_sdk.lightning_cloud.openapi.rest import ApiException
from lightning_sdk.lightning_cloud.rest_client import LightningClient

from lightning_zenml import http_log
from lightning_zenml.deadline import within
from lightning_zenml.launch.errors import CredentialsError, TeamspaceError
from lightning_zenml.launch.lightning import answers
from lightning_zenml.launch.lightning.commands import SingleCalls
from lightning_zenml.launch.lightning.failures import ApiError, OddAnswerError, UnreachableError, retrying
from lightning_zenml.launch.lightning.records import Membership, Named

# Any program's variable `DEBUG` would make the SDK print every request of this process, keys and bodies included.
sdk_env.DEBUG = False

T = TypeVar("T")

_WHOLE = 60.0
"""Seconds for one answer as a whole: it may trickle in, each piece in time."""
_LOOKS = 3
_LOOK_PAUSE = 0.5
"""Seconds between two looks for what wasn't found."""
DEFAULT_URL = "https://lightning.ai"
_KEYS_HINT = (
    "Find the key on lightning.ai under Global Settings > Keys, and set LIGHTNING_USER_ID and LIGHTNING_API_KEY."
)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Who we are on Lightning AI.

    Args:
        user_id: id of the user whom a personal key belongs to; None for a scoped key (`sk-lit-...`), which is sent as a
            bearer token.
        api_key: key of Lightning's API; secret.
        teamspace: name of the teamspace, or `owner/name`; None when the account has just one.
        username: name of the user who owns the teamspace, where a user does.
        organization: name of the organization that owns the teamspace, where one does.
    """

    user_id: str | None = None
    api_key: str = field(repr=False)
    teamspace: str | None = None
    username: str | None = None
    organization: str | None = None

    @classmethod
    def resolve(
        cls,
        environ: Mapping[str, str],
        *,
        user_id: str | None = None,
        api_key: str | None = None,
        teamspace: str | None = None,
        username: str | None = None,
        organization: str | None = None,
    ) -> Credentials:
        """Takes what is given, and the rest from `LIGHTNING_*` variables.

        Args:
            environ: environment variables, of which those named `LIGHTNING_*` count.
            user_id: see the class, as all that follow; None or '' is taken as not given.
            api_key: see the class.
            teamspace: see the class.
            username: see the class.
            organization: see the class.

        Raises:
            CredentialsError: when there is no API key.
        """
        key = api_key or environ.get("LIGHTNING_API_KEY")
        if not key:
            raise CredentialsError(f"There is no Lightning API key. {_KEYS_HINT}")
        if not teamspace:
            teamspace = environ.get("LIGHTNING_TEAMSPACE")
            username = username or environ.get("LIGHTNING_USERNAME")
            organization = organization or environ.get("LIGHTNING_ORG")
        return cls(
            user_id=user_id or environ.get("LIGHTNING_USER_ID") or None,
            api_key=key,
            teamspace=teamspace or None,
            username=username or environ.get("LIGHTNING_USERNAME") or None,
            organization=organization or environ.get("LIGHTNING_ORG") or None,
        )

    @property
    def authorization(self) -> str:
        """The `Authorization` header; secret."""
        if self.user_id:
            return "Basic " + base64.b64encode(f"{self.user_id}:{self.api_key}".encode()).decode()
        return f"Bearer {self.api_key}"

    @contextmanager
    def exported(self) -> Iterator[None]:
        """Puts the credentials into `os.environ` for those parts of the SDK that read them nowhere else."""
        wanted = {
            "LIGHTNING_API_KEY": self.api_key,
            "LIGHTNING_USER_ID": self.user_id,
            "LIGHTNING_AUTH_TOKEN": None,
        }
        before = {name: os.environ.get(name) for name in wanted}
        _set_environ(wanted)
        try:
            yield
        finally:
            _set_environ(before)


class Lightning:
    """One teamspace on Lightning AI.

    Args:
        url: address of the platform, without a trailing slash.
        teamspace_id: id of the teamspace (a project, in the API's words).
        teamspace: name of the teamspace.
        owner: name of the organization or user that owns the teamspace.
        organization_id: id of the owner when it is an organization, else ''.
        default_cluster: id of the cloud account that new studios get; None: the platform decides.
        deadline: when no call is made again any more, by `time.monotonic`, see `until`.
    """

    def __init__(self, credentials: Credentials, url: str) -> None:
        self.credentials = credentials
        self.url = url
        self.client = LightningClient(retry=False, with_auth=False)
        self.client.api_client.configuration.host = url
        self.client.api_client.default_headers["Authorization"] = credentials.authorization
        sender = self.client.api_client.rest_client
        # urllib3's own would sleep for as long as a `Retry-After` says, for hours too; `ask` does what is to be done.
        sender.pool_manager.connection_pool_kw["retries"] = urllib3.Retry(
            total=None, connect=0, read=0, status=0, other=0, redirect=3, respect_retry_after_header=False
        )
        sender.request = _checked(http_log.logged("Lightning", sender.request))
        self.teamspace_id = self.teamspace = ""
        self.owner = self.organization_id = ""
        self.default_cluster: str | None = None
        self.deadline = math.inf
        self.single_calls = SingleCalls()

    @classmethod
    def connect(cls, credentials: Credentials, *, url: str | None = None) -> Lightning:
        """Checks the key and finds the teamspace.

        Args:
            credentials: key and wanted teamspace.
            url: address of the platform; None: that in `LIGHTNING_CLOUD_URL`, else lightning.ai.

        Raises:
            CredentialsError: when Lightning refuses the key.
            TeamspaceError: when there is no such teamspace, or there are several and none is named.
            LaunchError: when Lightning can't be reached.
        """
        lightning = cls(credentials, (url or os.environ.get("LIGHTNING_CLOUD_URL") or DEFAULT_URL).rstrip("/"))
        lightning._find_teamspace()
        return lightning

    @property
    def page(self) -> str:
        """Where users look at the teamspace; studios, jobs and pipelines are below."""
        return f"{self.url}/{self.owner}/{self.teamspace}"

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Makes no call again after the deadline of what is done here, nor waits beyond it.

        Args:
            deadline: by `time.monotonic`.
        """
        before, self.deadline = self.deadline, deadline
        try:
            yield
        finally:
            self.deadline = before

    def ask(
        self,
        read: Callable[[Any], T],
        operation: Callable[..., Any],
        *args: Any,
        idempotent: bool = True,
        once: bool = False,
        **kwargs: Any,
    ) -> T:
        """Calls an operation of the generated client and reads its answer.

        Args:
            read: function of answers.py that fits the operation.
            operation: bound method of `self.client`.
            args: positional arguments of the operation.
            idempotent: whether the call may be sent again though it may have been carried out: its answer is lost,
                makes no sense, or is a fault of the server. What was turned away is sent again in any case.
            once: whether the call is made but once, however it fails.
            kwargs: keyword arguments of the operation.

        Raises:
            CredentialsError: when Lightning answers 401.
            ApiError: when it answers any other error status, which is the error's `status`.
            UnreachableError: when no answer comes.
            OddAnswerError: when the answer makes no sense.
        """
        again = retrying(idempotent=idempotent, deadline=-math.inf if once else self.deadline)
        result: T = again(self._ask_once, read, operation, *args, **kwargs)
        return result

    def found(self, look: Callable[[], T]) -> T:
        """What is found at last; one answer may be of another shape, and what was just made isn't listed at once.

        Args:
            look: asks once; what is false (None, an empty list) says that nothing was found.

        Returns:
            The first answer that is true, else the last of three.
        """
        for _ in range(_LOOKS - 1):
            if answer := look():
                return answer
            time.sleep(_LOOK_PAUSE)
        return look()

    def call(self, operation: Callable[..., Any], *args: Any, idempotent: bool = True, **kwargs: Any) -> None:
        """Calls an operation of which no answer is needed but that it was carried out; see `ask`."""
        self.ask(answers.nothing, operation, *args, idempotent=idempotent, **kwargs)

    def _ask_once(self, read: Callable[[Any], T], operation: Callable[..., Any], *args: Any, **kwargs: Any) -> T:
        try:
            try:
                # A connection may be lost in the middle of a body that is read only now, too.
                return within(_WHOLE, lambda: read(operation(*args, **kwargs)))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise OddAnswerError(f"Lightning's answer makes no sense ({error}). Try again later.") from None
        except ApiException as error:
            raise ApiError.of(error) from None
        except ConnectionError as error:
            # The generated client turns a 401 into this builtin error.
            if "Authentication failed" in str(error):
                raise CredentialsError(f"Lightning refuses the API key (401). {_KEYS_HINT}") from None
            raise self._unreachable(error) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: BaseException) -> UnreachableError:
        return UnreachableError(f"Can't reach Lightning AI at {self.url} ({type(error).__name__}). Try again later.")

    def memberships(self) -> list[Membership]:
        """The teamspaces that the account may use.

        Raises:
            LaunchError: if Lightning can't be asked.
        """
        return self.ask(answers.memberships, self.client.projects_service_list_memberships, filter_by_user_id=True)

    def _find_teamspace(self) -> None:
        owner, _, name = (self.credentials.teamspace or "").rpartition("/")
        owner_id = self._owner_id(owner)
        memberships = list[Membership]()

        def look() -> set[str]:
            memberships[:] = self.memberships()
            # A teamspace may be listed twice: as its organization's, and as its user's.
            return {
                membership.teamspace_id
                for membership in memberships
                if (not name or name in (membership.name, membership.display_name))
                and (not owner_id or membership.owner_id == owner_id)
            }

        matching = self.found(look)
        if len(matching) != 1:
            known = ", ".join(sorted({membership.name for membership in memberships})) or "none"
            wanted = f"teamspace '{self.credentials.teamspace}'" if name else "teamspace"
            reason = "several match" if matching else "none matches"
            raise TeamspaceError(
                f"Can't tell the {wanted}: {reason}. This account's teamspaces: {known}. "
                "Set LIGHTNING_TEAMSPACE, and LIGHTNING_ORG or LIGHTNING_USERNAME for its owner."
            )
        found = self.ask(answers.teamspace, self.client.projects_service_get_project, next(iter(matching)))
        self.teamspace_id, self.teamspace = found.id, found.name
        self.default_cluster = found.default_cluster
        if found.is_organizations:
            self.organization_id = found.owner_id
            self.owner = owner or self.credentials.organization or self._organization(id=found.owner_id).name
        else:
            self.owner = owner or self.credentials.username or self._user.name

    def _owner_id(self, owner: str) -> str:
        """The id of the owner that was named, '' when none was. `owner/teamspace` may name either kind."""
        username = owner or self.credentials.username
        organization = owner or self.credentials.organization
        if organization:
            try:
                return self._organization(id="", name=organization).id
            except ApiError as error:
                if error.status != 404:
                    raise
        if username and username == self._user.name:
            return self._user.id
        if organization:
            raise TeamspaceError(f"There is no organization '{organization}' of this account: see LIGHTNING_TEAMSPACE.")
        return ""

    @cached_property
    def _user(self) -> Named:
        return self.ask(answers.user, self.client.auth_service_get_user)

    def _organization(self, **wanted: Any) -> Named:
        return self.ask(answers.named, self.client.organizations_service_get_organization, **wanted)


def _checked(send: Callable[..., Any]) -> Callable[..., Any]:
    """The REST client's way to send a request, which raises `ValueError` for an answer that makes no sense."""

    def checked(*args: Any, **kwargs: Any) -> Any:
        answer = send(*args, **kwargs)
        answers.whole(answer)
        return answer

    return checked


def _set_environ(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
