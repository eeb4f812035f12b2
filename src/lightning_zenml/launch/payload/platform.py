"""The requests that a studio sends about itself and its launch: keep me awake, stop me, delete me, end my jobs."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_TRIES = 5
_ENDED = frozenset({"completed", "failed", "stopped", "deleted"})


@dataclass(frozen=True)
class Platform:
    """Lightning's API as the studio sees it.

    Args:
        url: of the studio's resource: `<platform>/v1/projects/<teamspace id>/cloudspaces/<studio id>`.
        authorization: header; secret.
    """

    url: str
    authorization: str

    def keep_alive(self) -> None:
        """Counts as activity: a studio sleeps after ten idle minutes."""
        self._send("POST", "/keep-alive", {})

    def stop(self) -> None:
        """Stops the machine, and with it this very program."""
        self._send("POST", "/stop")

    def delete(self) -> None:
        """Deletes the studio, and with it this very program."""
        self._send("DELETE", "")

    def end_jobs(self, launch_id: str) -> None:
        """Deletes the Lightning jobs of a launch that have not ended; see `lightning_zenml.launch.job.Job.end_all`.

        Raises:
            OSError: one was refused; a refusal that may pass comes before one that is final.
        """
        refusal: OSError | None = None
        project = self.url.rpartition("/cloudspaces/")[0]
        for kind, query, field in (
            ("jobs", "?standalone=true", "jobs"),
            ("multi-machine-jobs", "", "multiMachineJobs"),
        ):
            for job in self._get(f"{project}/{kind}{query}").get(field) or ():
                ended = (job.get("state") or "").rpartition("_STATE_")[2].lower() in _ENDED
                if ended or f"/jobs/{launch_id}" not in (job["spec"].get("command") or ""):
                    continue
                try:
                    send("DELETE", f"{project}/{kind}/{job['id']}", headers={"Authorization": self.authorization})
                except OSError as error:
                    # 404: somebody else has ended it since.
                    if not _is_refused(error, 404) and (refusal is None or not _is_refused(error)):
                        refusal = error
        if refusal is not None:
            raise refusal

    def _get(self, url: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(send("GET", url, headers={"Authorization": self.authorization}))
        return found

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        send(method, self.url + path, headers={"Authorization": self.authorization}, body=body)


def send(method: str, url: str, *, headers: Mapping[str, str], body: Mapping[str, Any] | bytes | None = None) -> bytes:
    """Sends a request, again when it fails for a passing reason.

    Args:
        method: of HTTP.
        url: of the resource.
        headers: besides `Content-Type`, which is JSON unless given.
        body: JSON, or bytes that are sent as they are.

    Returns:
        The body of the answer.

    Raises:
        OSError: no success within the tries (an `urllib.error.HTTPError` is one).
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
        except OSError as error:
            if _is_refused(error) or attempt == _TRIES - 1:
                raise
            time.sleep(0.5 * 2**attempt)
    raise AssertionError("unreachable")


def insist(call: Callable[[], None], *, pause: float = 60, times: int = 30) -> None:
    """Makes a call that must not fail for good, through outages far longer than `send` sits out.

    Args:
        call: raises an OSError when it failed.
        pause: seconds between two tries.
        times: tries.

    Raises:
        OSError: refused, or failed each time.
    """
    for left in reversed(range(times)):
        try:
            return call()
        except OSError as error:
            if _is_refused(error) or not left:
                raise
            time.sleep(pause)
    return None


def _is_refused(error: OSError, status: int | None = None) -> bool:
    """Whether it is refused for good (with that HTTP status)."""
    if not isinstance(error, urllib.error.HTTPError):
        return False
    return error.code == status if status else error.code < 500 and error.code != 429


class Heartbeat:
    """Calls functions every so often from a thread; an error of one never ends it.

    Args:
        period: seconds.
        calls: what to call.
        warn: told about errors, once per kind.
    """

    def __init__(self, period: float, calls: list[Callable[[], object]], warn: Callable[[str], None]) -> None:
        self._period, self._calls, self._warn = period, calls, warn
        self._ended = threading.Event()
        self._warned: set[str] = set()

    def start(self) -> None:
        """Beats for the first time at once."""
        threading.Thread(target=self._beat, daemon=True).start()

    def end(self) -> None:
        """No more beats."""
        self._ended.set()

    def _beat(self) -> None:
        while not self._ended.is_set():
            for call in self._calls:
                try:
                    call()
                except Exception as error:
                    self._tell(f"{type(error).__name__}: {error}")
            self._ended.wait(self._period)

    def _tell(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn(f"Keeping the studio awake failed once: {text}")
