"""What is known of files that were read before: one with the same times and size is not read again, as with git."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from lightning_zenml.package.repository import File

_LINE = re.compile(r"[0-9a-f]{64} [0-9a-f]{64}")
_KEPT = 4000
"""How many digests are kept: those of some thirty large repositories."""


class Known:
    """Digests of sets of files, by what the file system tells of each of these files.

    Losing it, or any part of it, costs no more than reading the files again.

    Args:
        path: file that keeps it; None: nothing is kept.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._digests: dict[str, str] = {}
        with suppress(OSError, UnicodeError):
            lines = path.read_text("ascii").splitlines() if path else ()
            self._digests = dict(line.split() for line in lines if _LINE.fullmatch(line))
        self._new: dict[str, str] = {}

    @classmethod
    def of_user(cls) -> Known:
        """What is kept in the user's cache folder (https://specifications.freedesktop.org/basedir-spec/latest/)."""
        try:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        except RuntimeError:
            # A user without a home.
            return cls()
        return cls(cache / "lightning-zenml" / "packed")

    def get(self, files: Mapping[str, File]) -> str | None:
        """The digest of the files if none of them was written to since it was added."""
        return self._digests.get(_key(files))

    def add(self, files: Mapping[str, File], digest: str) -> None:
        """Takes note of a digest."""
        self._new[_key(files)] = digest

    def forget(self, files: Mapping[str, File]) -> None:
        """Drops what is known of the files, at once."""
        self._digests.pop(_key(files), None)
        self._new.pop(_key(files), None)
        self._write()

    def save(self) -> None:
        """Keeps what is new; where that can't be, it is found out again."""
        if self._new:
            self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        newest = [*self._digests.items(), *self._new.items()][-_KEPT:]
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile("w", dir=self._path.parent, prefix=".", delete=False) as draft:
                draft.writelines(f"{key} {digest}\n" for key, digest in newest)
            Path(draft.name).replace(self._path)


def _key(files: Mapping[str, File]) -> str:
    told = hashlib.sha256()
    for name, file in files.items():
        told.update(os.fsencode(name) + b"\0" + repr(tuple(file)).encode())
    return told.hexdigest()
