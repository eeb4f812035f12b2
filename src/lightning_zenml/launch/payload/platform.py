"""The requests that a studio sends about itself and its launch: keep me awake, stop me, delete me, end my jobs."""

from __future__ import annotations

import contextlib
import http
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.records import Record

_TRIES = 5
_LAST_BEAT = 5.0
"""Seconds for a beat that is under way when they end: a lease must not be renewed after it was given back."""
_PASSING = frozenset({400, 408, 409, 425, 429})
"""Statuses that say later rather than no: Lightning answers 400 to what can't be done while a machine comes or goes."""
_ENDED = frozenset({"completed", "failed", "stopped", "deleted"})


@dataclass(frozen=True)
class Platform(Record):
    """Lightning's API as the studio sees it.

    Args:
        url: address of the studio's resource: `<platform>/v1/projects/<teamspace id>/cloudspaces/<studio id>`.
        authorization: value of the header `Authorization`; secret.
    """

    url: str
    authorization: str = field(repr=False)

    def keep_alive(self) -> None:
        """Counts as activity: a studio sleeps after ten idle minutes."""
        self._send("POST", f"{self.url}/keep-alive", {})

    def stop(self) -> None:
        """Stops the machine, and with it this very program."""
        self._end("POST", f"{self.url}/stop")

    def delete(self) -> None:
        """Deletes the studio, and with it this very program."""
        self._end("DELETE", self.url)

    def end_jobs(self, launch_id: str) -> None:
        """Deletes the Lightning jobs of a launch that have not ended; see `launch.lightning.job.Job.end_all`.

        Raises:
            Exception: if one could not be deleted, after all were tried; an error that may pass rather than a refusal.
        """
        project = self.url.rpartition("/cloudspaces/")[0]
        failed: list[Exception] = []
        for kind, query, listing in (
            ("jobs", "?standalone=true", "jobs"),
            ("multi-machine-jobs", "", "multiMachineJobs"),
        ):
            try:
                found = self._all(f"{project}/{kind}{query}", listing)
            except Exception as error:
                failed.append(error)
                continue
            for job in found:
                ended = (job.get("state") or "").rpartition("_STATE_")[2].lower() in _ENDED
                if ended or layout.job_result(launch_id) not in ((job.get("spec") or {}).get("command") or ""):
                    continue
                try:
                    self._end("DELETE", f"{project}/{kind}/{job['id']}")
                except Exception as error:
                    failed.append(error)
        if failed:
            raise min(failed, key=_is_refused)

    def _all(self, url: str, field: str) -> list[dict[str, Any]]:
        """What a listing has on all its pages."""
        found: list[dict[str, Any]] = []
        token = None
        while token is None or token:
            # Only the listing of jobs has pages, and a query already.
            page = json.loads(self._send("GET", f"{url}&pageToken={token}" if token else url))
            found += page.get(field) or ()
            token = page.get("nextPageToken") or ""
        return found

    def _end(self, method: str, url: str) -> None:
        try:
            self._send(method, url)
        except urllib.error.HTTPError as error:
            # Somebody was faster: the end we want.
            if error.code != http.HTTPStatus.NOT_FOUND:
                raise

    def _send(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> bytes:
        return send(method, url, headers={"Authorization": self.authorization}, body=body)


def send(method: str, url: str, *, headers: Mapping[str, str], body: Mapping[str, Any] | bytes | None = None) -> bytes:
    """Sends a request, again when it fails for a passing reason.

    Args:
        method: method of HTTP.
        url: address of the resource.
        headers: headers besides `Content-Type`, which is JSON unless given.
        body: object to send as JSON, or bytes that are sent as they are.

    Returns:
        The body of the answer.

    Raises:
        OSError: if there was no success within the tries (an `urllib.error.HTTPError` is one).
        http.client.HTTPException: if what came was no whole answer, each time.
    """
    request = urllib.request.Request(  # noqa: S310 - the client gave the URL
        url,
        method=method,
        headers={"Content-Type": "application/json", **headers},
        data=body if body is None or isinstance(body, bytes) else json.dumps(body).encode(),
    )
    for attempt in range(_TRIES):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content
        except (OSError, http.client.HTTPException) as error:
            if _is_refused(error) or attempt == _TRIES - 1:
                raise
            time.sleep(0.5 * 2**attempt)
    raise AssertionError("unreachable")


def insist(call: Callable[[], None], *, pause: float = 60, times: int = 30) -> None:
    """Makes a call that must not fail for good, through outages far longer than `send` sits out.

    Args:
        call: call that raises when it failed; whatever it is but a refusal may pass, answers that make no sense too.
        pause: seconds between two tries.
        times: number of tries.

    Raises:
        Exception: if it was refused, or failed each time.
    """
    for left in reversed(range(times)):
        try:
            return call()
        except Exception as error:
            if _is_refused(error) or not left:
                raise
            time.sleep(pause)
    return None


def _is_refused(error: Exception) -> bool:
    return isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in _PASSING


class Heartbeat:
    """Calls functions every so often from a thread; an error of one never ends it.

    Args:
        period: seconds between two beats.
        calls: functions to call at each beat.
        warn: function that takes a warning in words, once per kind of error.
    """

    def __init__(self, period: float, calls: list[Callable[[], object]], warn: Callable[[str], None]) -> None:
        self._period, self._calls, self._warn = period, calls, warn
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._warned: set[str] = set()

    def start(self) -> None:
        """Beats for the first time at once."""
        self._thread.start()

    def end(self) -> None:
        """No more beats; one that hangs is not waited for."""
        self._ended.set()
        self._thread.join(timeout=_LAST_BEAT)

    def _beat(self) -> None:
        while not self._ended.is_set():
            for call in self._calls:
                if self._ended.is_set():
                    return
                try:
                    call()
                except Exception as error:
                    self._tell(f"{type(error).__name__}: {error}")
            self._ended.wait(self._period)

    def _tell(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            # A full disk takes no warning, and is no reason to fall asleep.
            with contextlib.suppress(OSError):
                self._warn(f"Keeping the studio awake failed once: {text}")
