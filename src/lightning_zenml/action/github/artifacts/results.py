"""Uploads an artifact of the workflow run, as GitHub's own actions do it.

It is made, its content is put where a signed address says (a blob of Azure's), and it is finished with size and digest.
The interface is GitHub's own and documented for nobody else; source: `packages/artifact` of
https://github.com/actions/toolkit, version 2 and later, and https://learn.microsoft.com/rest/api/storageservices/put-blob.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import requests

from lightning_zenml import http_log
from lightning_zenml.action.github.artifacts.runtime import ArtifactError, Runtime
from lightning_zenml.deadline import within
from lightning_zenml.http_session import Authorization, Bearer, Session, is_readable_on_the_way

T = TypeVar("T")

PATIENCE = 35.0
"""Seconds that an upload may take in all, whatever is tried again."""
TRIES = 3
"""How often each request is sent that isn't answered as it should be; what is refused may be an odd answer."""
MOST_NAMES = 20
"""Names that are tried, with a number behind, where the workflow run has an artifact of the name already."""
_TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and to wait for data."""
_SERVICE = "twirp/github.actions.results.api.v1.ArtifactService"
_VERSION = 7
"""Of the artifact's format: a ZIP whose type is told."""
_ZIP = "application/zip"
_LONGEST_MESSAGE = 300


class _TakenError(ArtifactError):
    """The workflow run has an artifact of this name."""


class _RefusedError(ArtifactError):
    """The request is wrong, or nothing may be stored: to ask once more is for nothing."""


class ResultsService:
    """The service that keeps the artifacts of workflow runs.

    Args:
        runtime: where it is, and what this job is to it.
        mask: function that has a value hidden in every log: a signed address is a secret.
        sleep: function that waits for so many seconds.
        session: HTTP session of the requests; None: a new one.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        mask: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
        session: requests.Session | None = None,
    ) -> None:
        self._runtime = runtime
        self._mask = mask
        self._sleep = sleep
        self._request = http_log.logged("GitHub Actions", (session or Session()).request)
        self._deadline = 0.0

    def upload(self, name: str, content: bytes) -> int:
        """Uploads a ZIP file as an artifact of the workflow run, to be kept as long as the repository says.

        Args:
            name: name of the artifact, which every file system takes; one that is taken gets a number.
            content: the ZIP file.

        Returns:
            The artifact's id in the REST interface and in the address of its page.

        Raises:
            ArtifactError: if it is not there in the end, or not in time.
        """
        self._deadline = time.monotonic() + PATIENCE
        name, address = self._make(name)
        self._tried(lambda: self._put(address, content))
        return self._finish(name, content)

    def _make(self, name: str) -> tuple[str, str]:
        """Makes the artifact under the first name that is free; that name, and where its content is to go."""
        for number in range(1, MOST_NAMES + 1):
            free = name if number == 1 else f"{name}-{number}"
            try:
                answer = self._call("CreateArtifact", name=free, version=_VERSION, mime_type=_ZIP)
            except _TakenError:
                continue
            address = str(_of(answer, "signed_upload_url") or "")
            self._mask_signature(address)
            if not address.startswith(("https://", "http://")) or is_readable_on_the_way(address):
                raise ArtifactError("GitHub names no address that an artifact could be uploaded to.")
            return free, address
        raise ArtifactError(f"The workflow run has {MOST_NAMES} artifacts of the name {name} already.")

    def _put(self, address: str, content: bytes) -> None:
        """Puts the content into the blob, as a whole: doing so twice does no harm."""
        headers = {"x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": _ZIP, "Content-Type": _ZIP}
        response = self._answer("PUT", address, Authorization(""), headers=headers, data=content)
        if not response.ok:
            reason = response.headers.get("x-ms-error-code") or response.reason
            raise ArtifactError(f"GitHub's store doesn't take the artifact: {response.status_code} {reason}.")

    def _finish(self, name: str, content: bytes) -> int:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        try:
            return _id(
                _of(self._call("FinalizeArtifact", name=name, size=str(len(content)), hash=digest), "artifact_id")
            )
        except ArtifactError:
            # The answer may have been lost, and what is finished can't be finished once more.
            artifacts = _of(self._call("ListArtifacts", name_filter=name), "artifacts") or []
            found = [_of(one, "database_id") for one in artifacts if _of(one, "name") == name]
            if not found:
                raise
            return _id(found[0])

    def _call(self, method: str, **fields: str | int) -> Mapping[str, Any]:
        """Calls a method of the service, which answers in JSON."""
        ids = {"workflow_run_backend_id": self._runtime.run_id, "workflow_job_run_backend_id": self._runtime.job_id}
        address = f"{self._runtime.origin}/{_SERVICE}/{method}"

        def call() -> Mapping[str, Any]:
            response = self._answer("POST", address, Bearer(self._runtime.token), json={**ids, **fields})
            try:
                answer = response.json()
            except ValueError:
                answer = None
            if not isinstance(answer, dict):
                raise ArtifactError(f"GitHub's answer to {method} makes no sense ({response.status_code}).")
            if not response.ok:
                raise _refusal(method, response.status_code, str(answer.get("msg", ""))[:_LONGEST_MESSAGE])
            if method != "ListArtifacts" and answer.get("ok") is not True:
                raise ArtifactError(f"GitHub's answer to {method} is not `ok`.")
            return answer

        return self._tried(call)

    def _answer(self, method: str, address: str, auth: Authorization, **more: Any) -> requests.Response:
        def request() -> requests.Response:
            response: requests.Response = self._request(
                method, address, auth=auth, timeout=_TIMEOUT, allow_redirects=False, **more
            )
            return response

        try:
            return within(self._deadline - time.monotonic(), request)
        except (requests.RequestException, TimeoutError) as error:
            # The error itself holds the address, which is signed.
            host = urlsplit(address).netloc
            raise ArtifactError(f"GitHub's service for artifacts, {host}, doesn't answer ({_kind(error)}).") from None

    def _tried(self, call: Callable[[], T]) -> T:
        """What the call gives, tried a few times as long as there is time."""
        for number in range(TRIES):
            try:
                return call()
            except (_TakenError, _RefusedError):
                raise
            except ArtifactError:
                pause = 2.0**number
                if number == TRIES - 1 or time.monotonic() + pause > self._deadline:
                    raise
            self._sleep(pause)
        raise AssertionError("unreachable")

    def _mask_signature(self, address: str) -> None:
        """Has the signature hidden, which lets anybody write who has the address."""
        try:
            signatures = parse_qs(urlsplit(address).query).get("sig", [])
        except ValueError:
            return
        for signature in signatures:
            self._mask(signature)
            self._mask(quote(signature, safe=""))


def _refusal(method: str, status: int, message: str) -> ArtifactError:
    said = f"GitHub says {status}: {message or 'no message'}"
    if status == 409:
        return _TakenError(said)
    if "insufficient usage" in message:
        return _RefusedError(f"The storage for artifacts that this account's plan has is used up. ({said})")
    if status == 400:
        return _RefusedError(f"GitHub refuses {method}. ({said})")
    return ArtifactError(f"GitHub doesn't carry out {method}. ({said})")


def _of(answer: Any, name: str) -> Any:
    """A field of an answer: as the protocol names it, or as JSON has it by default, `artifactId` for `artifact_id`."""
    first, *others = name.split("_")
    camel = first + "".join(map(str.capitalize, others))
    return answer.get(name, answer.get(camel)) if isinstance(answer, dict) else None


def _id(value: Any) -> int:
    """An id, which is a string in the JSON of 64-bit numbers."""
    if not str(value).isdecimal():
        raise ArtifactError("GitHub tells no id of the artifact.")
    return int(value)


def _kind(error: Exception) -> str:
    return "too slow" if isinstance(error, TimeoutError | requests.Timeout) else type(error).__name__
