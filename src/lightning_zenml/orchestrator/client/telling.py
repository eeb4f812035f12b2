"""What a client tells of its launch: lines, below them on a terminal how far it is; nothing where that is wanted."""

from __future__ import annotations

import os
from pathlib import Path

from zenml.logger import get_logger

from lightning_zenml.launch.lightning.files import sent
from lightning_zenml.terminal.live import QUIET, Live

logger = get_logger("lightning_zenml.orchestrator.client.submission")


class Telling(Live):
    """Tells of one launch, for a block."""

    _is_quiet = False

    def __enter__(self) -> Telling:
        self._is_quiet = bool(os.environ.get(QUIET))
        super().__enter__()
        return self

    def notify(self, text: str) -> None:
        """Tells how the launch comes along.

        Args:
            text: a line.
        """
        if self.is_shown and not self.advances(text):
            return
        if not self._is_quiet:
            logger.info(text)

    def conclude(self, text: str) -> None:
        """Tells how it ended.

        Args:
            text: a line.
        """
        if not self._is_quiet:
            logger.info(text)

    def packing(self, root: Path) -> None:
        """Shows that a folder is being packed; a line says what has come of it."""
        self.stage(f"Packing {root}")

    def uploading(self, path: Path) -> None:
        """Shows how much of a file has been uploaded.

        Args:
            path: of the file.
        """
        self.stage("Uploading", lambda: sent(path))

    def log(self, text: str) -> None:
        """Shows the next piece of the launch's log."""
        if not self._is_quiet:
            print(text, end="", flush=True)
        self.feed(text)
