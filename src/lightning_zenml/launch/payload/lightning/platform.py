"""What a studio asks of Lightning about itself and its launch: keep me awake, stop me, delete me, end my jobs."""

from __future__ import annotations

import base64
import http
import os
import urllib.error
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.lightning.requests import TRIES, OddAnswerError, ask, is_refused, send
from lightning_zenml.launch.payload.records import Record

T = TypeVar("T")

_ENDED = frozenset({"completed", "failed", "stopped", "deleted"})
"""States of a job that costs nothing any more."""
_STOPPED = frozenset({"", "STOPPED", "FAILED", "DELETED"})
"""Phases of a studio's machine that is none any more."""
_PAGES = 1000


@dataclass(frozen=True)
class Platform(Record):
    """Lightning's API as the studio sees it. Where the launch's key is refused, the studio's own is tried.

    Args:
        url: address of the studio's resource: `<platform>/v1/projects/<teamspace id>/cloudspaces/<studio id>`.
        authorization: value of the header `Authorization`; secret.
    """

    url: str
    authorization: str = field(repr=False)

    def keep_alive(self) -> None:
        """Counts as activity: a studio sleeps after ten idle minutes. The next beat makes up for one that fails."""
        self._send("POST", f"{self.url}/keep-alive", body={}, tries=1)

    def stop(self) -> None:
        """Asks for the machine to be stopped, and with it this very program; `is_stopped` tells whether it is."""
        self._send("POST", f"{self.url}/stop", tries=1)

    def delete(self) -> None:
        """Asks for the studio to be deleted, and this very program with it; `is_deleted` tells whether it is."""
        self._send("DELETE", self.url, tries=1)

    def is_stopped(self) -> bool:
        """Looks once whether the studio has no machine.

        Raises:
            Exception: if there is no answer that tells.
        """
        try:
            in_use = self._ask(f"{self.url}/codestatus").get("inUse")
        except urllib.error.HTTPError as error:
            return _is_gone(error)
        if not isinstance(in_use, dict | None):
            raise OddAnswerError(f"The studio's status is odd: {str(in_use)[:100]}")
        return str((in_use or {}).get("phase") or "").rpartition("_STATE_")[2] in _STOPPED

    def is_deleted(self) -> bool:
        """Looks once, by two questions, whether there is no such studio.

        Raises:
            Exception: if there is no answer that tells.
        """
        for url in (self.url, f"{self.url}/codestatus"):
            try:
                self._ask(url)
            except urllib.error.HTTPError as error:
                if _is_gone(error):
                    continue
            return False
        return True

    def unended_jobs(self, launch_id: str) -> list[str]:
        """Lists the jobs of a launch that have not ended; see `launch.lightning.job.Job.end_all`.

        Returns:
            The address of each.

        Raises:
            UnlistedError: if one of the two lists of jobs can't be had; it has the jobs of the other.
        """
        found: list[str] = []
        failure: Exception | None = None
        for kind, query, listing in (
            ("jobs", "?standalone=true", "jobs"),
            ("multi-machine-jobs", "", "multiMachineJobs"),
        ):
            address = f"{self.url.rpartition('/cloudspaces/')[0]}/{kind}"
            try:
                found += [
                    f"{address}/{job['id']}"
                    for job in self._all(f"{address}{query}", listing)
                    if _is_unended_of(launch_id, job)
                ]
            except Exception as error:
                failure = error
        if failure is not None:
            raise UnlistedError(found) from failure
        return found

    def delete_job(self, url: str) -> None:
        """Asks for the job at that address to be deleted; it is, once it isn't listed any more."""
        self._send("DELETE", url, tries=1)

    def _all(self, url: str, listing: str) -> Iterator[dict[str, Any]]:
        """What a listing has on all its pages."""
        token = ""
        for _ in range(_PAGES):
            # Only the listing of jobs has pages, and a query already.
            page = self._ask(f"{url}&pageToken={token}" if token else url)
            items = page.get(listing) or []
            if not isinstance(items, list) or not all(isinstance(one, dict) and one.get("id") for one in items):
                raise OddAnswerError(f"The list of {listing} is odd: {str(items)[:100]}")
            yield from items
            token = page.get("nextPageToken") or ""
            if not token:
                return
        raise OddAnswerError(f"The list of {listing} has no end.")

    def _send(self, method: str, url: str, *, body: Mapping[str, Any] | None = None, tries: int = TRIES) -> None:
        self._with_each_key(lambda headers: send(method, url, headers=headers, body=body, tries=tries))

    def _ask(self, url: str) -> dict[str, Any]:
        return self._with_each_key(lambda headers: ask("GET", url, headers=headers))

    def _with_each_key(self, call: Callable[[Mapping[str, str]], T]) -> T:
        """Calls with the launch's key, and with the studio's own when that is refused."""
        refusals: list[Exception] = []
        for key in dict.fromkeys((self.authorization, *_own_keys(os.environ))):
            try:
                return call({"Authorization": key})
            except urllib.error.HTTPError as error:
                if not is_refused(error):
                    raise
                refusals.append(error)
        # Gone it is only for whoever may know.
        raise next((error for error in refusals if not _is_not_found(error)), refusals[0])


class UnlistedError(Exception):
    """Not all jobs could be listed.

    Args:
        found: addresses of those that could.
    """

    def __init__(self, found: list[str]) -> None:
        super().__init__("Lightning does not list all jobs.")
        self.found = found


def _own_keys(environ: Mapping[str, str]) -> Iterator[str]:
    """The credentials that the platform gives a studio, each as a value of `Authorization`; as the SDK sends them."""
    if token := environ.get("LIGHTNING_AUTH_TOKEN"):
        yield f"Bearer {token}"
    if key := environ.get("LIGHTNING_API_KEY"):
        user = environ.get("LIGHTNING_USER_ID")
        yield f"Basic {base64.b64encode(f'{user}:{key}'.encode()).decode()}" if user else f"Bearer {key}"


def _is_unended_of(launch_id: str, job: Mapping[str, Any]) -> bool:
    spec = job.get("spec")
    command = spec.get("command") if isinstance(spec, dict) else None
    state = str(job.get("state") or "").rpartition("_STATE_")[2].lower()
    return state not in _ENDED and layout.job_result(launch_id) in str(command or "")


def _is_gone(error: urllib.error.HTTPError) -> bool:
    """True for a 404; any other error is raised."""
    if not _is_not_found(error):
        raise error
    return True


def _is_not_found(error: Exception) -> bool:
    return isinstance(error, urllib.error.HTTPError) and error.code == http.HTTPStatus.NOT_FOUND
