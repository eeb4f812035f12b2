"""The parts of an archive are packed beside other work: a studio is started meanwhile, which may have some already."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from lightning_zenml.package.archive import Archive, Part


class Packing:
    """Packs an archive from now on: what is edited later is not noticed, nor does it travel.

    Args:
        archive: what to pack.
        folder: folder for the packed parts.
    """

    def __init__(self, archive: Archive, folder: Path) -> None:
        self._archive = archive
        self._folder = folder
        self._given_up = threading.Event()
        self._pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="packing")
        self._parts = {part.sha256: part for part in archive.parts}
        self._packed = {part.sha256: self._begin(part) for part in archive.parts}

    def packed(self, wanted: Collection[str]) -> dict[str, Path]:
        """Waits for some parts, and packs no others that were not begun yet.

        Args:
            wanted: digests of the parts.

        Returns:
            Path of the packed part (`.tar.gz`) by its digest.

        Raises:
            PackageError: see `Archive.write`.
        """
        for sha256, future in self._packed.items():
            if sha256 not in wanted:
                future.cancel()
            elif future.cancelled():
                self._packed[sha256] = self._begin(self._parts[sha256])
        return {sha256: self._packed[sha256].result() for sha256 in wanted}

    def close(self) -> None:
        """Ends packing."""
        self._given_up.set()
        self._pool.shutdown(cancel_futures=True)

    def _begin(self, part: Part) -> Future[Path]:
        return self._pool.submit(self._pack, part)

    def _pack(self, part: Part) -> Path:
        destination = self._folder / f"{part.sha256}.tar.gz"
        self._archive.write(part, destination, given_up=self._given_up)
        return destination
