"""What the runner gives a container action, and a script doesn't get, for the services of GitHub Actions itself.

Source: `ContainerActionHandler.cs` and `ScriptHandler.cs` of https://github.com/actions/runner, and what reads it:
`packages/artifact` of https://github.com/actions/toolkit.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lightning_zenml.codes import Code, CodedError
from lightning_zenml.http_session import is_readable_on_the_way

TOKEN = "ACTIONS_RUNTIME_TOKEN"  # noqa: S105 - the variable's name
RESULTS_URL = "ACTIONS_RESULTS_URL"
_SCOPE = "Actions.Results"
_BUT = "use `pictures: branch`, or go on with the links."


class ArtifactError(CodedError):
    """A workflow run can't be given an artifact."""

    code = Code.ARTIFACT


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The results service of GitHub Actions, and what this job is to it.

    Args:
        origin: scheme, host and port of the service.
        token: token of the job; a JSON Web Token.
        run_id: the service's own id of the workflow run.
        job_id: the service's own id of the job.
    """

    origin: str
    token: str = field(repr=False)
    run_id: str
    job_id: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Runtime:
        """Reads the variables of the step.

        Args:
            environ: variables of the step.

        Raises:
            ArtifactError: if there is no such service here; says what to do.
        """
        server, url, token = (environ.get(name, "") for name in ("GITHUB_SERVER_URL", RESULTS_URL, TOKEN))
        if _is_enterprise_server(server):
            raise ArtifactError(
                f"GitHub Enterprise Server ({server}) has no service that takes such an artifact: {_BUT}"
            )
        if not (url and token):
            missing = " and ".join(name for name, value in ((RESULTS_URL, url), (TOKEN, token)) if not value)
            raise ArtifactError(
                f"This step has no {missing}, which the runner gives to a container and to no script. Use the Action "
                f"itself (`uses: org/lightning-zenml-action@v1`), not its `/composite`; else {_BUT}"
            )
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or is_readable_on_the_way(url):
            raise ArtifactError(f"{RESULTS_URL} is no address to which a token may go ({url}): {_BUT}")
        run_id, job_id = _backend_ids(token)
        return cls(origin=f"{parts.scheme}://{parts.netloc}", token=token, run_id=run_id, job_id=job_id)


def _is_enterprise_server(url: str) -> bool:
    """Whether a server is none that GitHub runs, as `isGhes` of the toolkit tells it."""
    host = (urlsplit(url or "https://github.com").hostname or "").lower()
    return host != "github.com" and not host.endswith((".ghe.com", ".localhost"))


def _backend_ids(token: str) -> tuple[str, str]:
    """The service's ids of run and job, from the claim `scp`: `Actions.Results:<run>:<job>` among other scopes."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        scopes = [scope.split(":") for scope in claims["scp"].split(" ")]
        _, run_id, job_id = next(scope for scope in scopes if scope[0] == _SCOPE)
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        raise ArtifactError(f"{TOKEN} names no workflow run, as GitHub's does: {_BUT}") from error
    return run_id, job_id
