"""A file uploaded to a studio, by the SDK's own uploader, within a deadline that it doesn't have."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from lightning_sdk.api.studio_api import StudioApi

from lightning_zenml.launch.lightning.client import Lightning

_SLOWEST = 250_000
"""Bytes a second below which an upload has got stuck: 2 MBit/s."""
_LEAST = 600.0
"""Seconds that even a small file may take, with all the retries."""


def upload(lightning: Lightning, source: Path, target: str, *, studio_id: str, cluster: str) -> None:
    """Uploads a file.

    Args:
        lightning: teamspace of the studio.
        source: path of the file on this machine.
        target: path on the studio, relative to its home.
        studio_id: id of the studio.
        cluster: id of the studio's cloud account.

    Raises:
        OSError: when it fails for all the SDK's own retries, or takes too long (`TimeoutError`).
        RuntimeError: when the platform refuses.
        ValueError: when its answers make no sense, as are `LookupError`, `TypeError` and `AttributeError`.
    """

    def work() -> None:
        with lightning.credentials.exported():
            api = StudioApi()
            # Its own client keeps the credentials and address of whoever used the SDK first in this process.
            api._client = lightning.client
            api.upload_file(
                studio_id=studio_id,
                teamspace_id=lightning.teamspace_id,
                cloud_account=cluster,
                file_path=str(source),
                remote_path=target,
                progress_bar=False,
            )

    _within(_LEAST + source.stat().st_size / _SLOWEST, work)


def _within(seconds: float, work: Callable[[], None]) -> None:
    """Calls in a thread that no exit waits for: parts of large files are sent without a timeout of their own."""
    failures: list[BaseException] = []

    def call() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=call, name="upload", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"it was not done within {seconds:.0f} s")
    if failures:
        raise failures[0]
