"""Files of studios, by the SDK's own means. An upload that fails is begun anew, within a deadline."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import tenacity
from lightning_sdk.api.studio_api import StudioApi

from lightning_zenml.deadline import within
from lightning_zenml.launch.lightning.client import Lightning

FAILURES = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)
"""What the SDK raises when an upload fails or an answer makes no sense."""
_SLOWEST = 250_000
"""Bytes a second below which an upload has got stuck: 2 MBit/s."""
_LEAST = 600.0
"""Seconds that even a small file may take, with all the retries."""
_READ = 20.0
"""Seconds for a small file that is read."""
_TRIES = 5
"""How often an upload is begun. Of one whose last answer is lost, the SDK's own next try finds nothing any more."""
_LONGEST_PAUSE = 10.0
_IN_MEMORY = {"LIGHTNING_MULTI_PART_PART_SIZE": str(16 * 2**20), "LIGHTNING_MULTI_PART_MAX_WORKERS": "8"}
"""Variables that bound what the SDK holds in memory: else 100 MB in each of ten threads, for one file of a gigabyte."""


def upload(lightning: Lightning, source: Path, target: str, *, studio_id: str, cluster: str) -> None:
    """Uploads a file.

    Args:
        lightning: teamspace of the studio.
        source: path of the file on this machine.
        target: path on the studio, relative to its home.
        studio_id: id of the studio.
        cluster: id of the studio's cloud account.

    Raises:
        OSError: when it fails each time, or takes too long (`TimeoutError`).
        RuntimeError: when the platform refuses.
        ValueError: when its answers make no sense, as are `LookupError`, `TypeError` and `AttributeError`.
    """

    def send() -> None:
        _api(lightning).upload_file(
            studio_id=studio_id,
            teamspace_id=lightning.teamspace_id,
            cloud_account=cluster,
            file_path=str(source),
            remote_path=target,
            progress_bar=False,
        )

    def work() -> None:
        for name, value in _IN_MEMORY.items():
            os.environ.setdefault(name, value)
        with lightning.credentials.exported():
            tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(FAILURES),
                wait=tenacity.wait_exponential(max=_LONGEST_PAUSE),
                stop=tenacity.stop_after_attempt(_TRIES),
                reraise=True,
            )(send)

    # Parts of large files are sent without a timeout of their own.
    within(_LEAST + source.stat().st_size / _SLOWEST, work)


def sent(source: Path) -> tuple[int, int] | None:
    """How far an upload under way has come: as far as this process has read the file, which is ahead by a buffer.

    Args:
        source: path of the file.

    Returns:
        Bytes that are through, and those of the file; None where no upload is under way, or the system doesn't tell.
    """
    try:
        size, read = source.stat().st_size, 0
        for one in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                if one.readlink() == source:
                    told = Path(f"/proc/self/fdinfo/{one.name}").read_text()
                    read = max(read, int(told.split(maxsplit=2)[1]))
    except (OSError, ValueError, LookupError):
        return None
    return (read, size) if read else None


def read(lightning: Lightning, path: str, *, studio_id: str, cluster: str) -> str:
    """Reads a small file, of a studio that is stopped, too.

    Args:
        lightning: teamspace of the studio.
        path: path of the file on the studio, relative to its home.
        studio_id: id of the studio.
        cluster: id of the studio's cloud account.

    Raises:
        Exception: one of `FAILURES`, when there is no such file or it does not come.
    """

    def work() -> str:
        with lightning.credentials.exported(), tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "file"
            _api(lightning).download_file(
                path, str(target), studio_id, lightning.teamspace_id, cluster, progress_bar=False
            )
            return target.read_text()

    return within(_READ, work)


def _api(lightning: Lightning) -> StudioApi:
    api = StudioApi()
    # Its own client keeps the credentials and address of whoever used the SDK first in this process.
    api._client = lightning.client
    return api
