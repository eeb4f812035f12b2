"""A repository as an archive of several parts, each named by the digest of what it holds.

Whoever has some of the parts already needs the others alone; and to learn their names, nothing is compressed.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from lightning_zenml.package.compression import Compressor
from lightning_zenml.package.errors import PackageError
from lightning_zenml.package.known import Known
from lightning_zenml.package.repository import File, Repository
from lightning_zenml.package.tar import CHANGED, tar

_MOST_SHARES = 64
"""Parts that small files share, at most; a file that would stand out among them is one of its own."""
_LEAST_SHARE = 1 << 18
"""Bytes that are worth a part."""
_SETTLED = 2_000_000_000
"""Nanoseconds after which another change of a file gives it another time: the coarsest clock of a file system."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some of the files of a repository, as a tar.

    Args:
        sha256: hex digest of the tar: of names, contents, symlinks and executable bits, and nothing else.
        size: bytes of the files' contents.
        files: the files and symlinks by their names.
    """

    sha256: str
    size: int
    files: Mapping[str, File]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A repository, ready to be packed.

    Args:
        root: absolute path of the repository.
        parts: what it is made of, in the order in which the parts are listed.
        warnings: sentences for the user on what doesn't travel, see `Contents`.
        known: what was known of the files, which is forgotten where it turns out wrong.
    """

    root: Path
    parts: tuple[Part, ...]
    warnings: tuple[str, ...] = ()
    known: Known = field(default_factory=Known, repr=False, compare=False)

    @property
    def listing(self) -> str:
        """The digests of the parts, each on a line of its own."""
        return "".join(f"{part.sha256}\n" for part in self.parts)

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the listing, and so of all that the archive holds."""
        return hashlib.sha256(self.listing.encode()).hexdigest()

    @property
    def files(self) -> int:
        """Number of files and symlinks."""
        return sum(len(part.files) for part in self.parts)

    @property
    def size(self) -> int:
        """Bytes of the files' contents."""
        return sum(part.size for part in self.parts)

    def write(self, part: Part, destination: Path, *, given_up: threading.Event | None = None) -> None:
        """Writes a part as a `.tar.gz`, readable only by its owner.

        Args:
            part: a part of this archive.
            destination: path of the file.
            given_up: set from another thread, the file is left unfinished.

        Raises:
            PackageError: when a file has vanished, can't be read, or isn't what it was when the archive was made, or
                the file can't be written.
        """
        digest = hashlib.sha256()
        try:
            destination.touch(mode=0o600)
            with destination.open("wb") as file, Compressor(file) as compressed:
                for chunk in tar(self.root, part.files):
                    if given_up and given_up.is_set():
                        return
                    digest.update(chunk)
                    compressed.write(chunk)
        except OSError as error:
            raise PackageError(f"The archive {str(destination)!r} can't be written: {error}.") from error
        if digest.hexdigest() != part.sha256:
            # Something writes to files without giving them another time.
            self.known.forget(part.files)
            raise PackageError(f"{_listed(part.files)} changed while it was packed. {CHANGED}")


def pack(repository: Repository, known: Known | None = None, *, clock: Callable[[], int] = time.time_ns) -> Archive:
    """Finds out what a repository is as an archive.

    The parts depend on names, contents, symlinks and executable bits only: not on time, user, umask or the
    order in which a file system lists files (https://reproducible-builds.org/docs/archives/).

    Args:
        repository: the repository to pack.
        known: what earlier calls on this machine have found out, so that only what has changed is read; None: all is.
        clock: function that tells nanoseconds since 1970.

    Raises:
        PackageError: when its files can't be listed (see `Repository.contents`), or a file vanishes, changes or
            can't be read meanwhile.
    """
    known = Known() if known is None else known
    settled = clock() - _SETTLED
    contents = repository.contents()
    parts = []
    for files in _shared_out(contents.files):
        sha256 = known.get(files)
        if sha256 is None:
            digest = hashlib.sha256()
            for chunk in tar(repository.root, files):
                digest.update(chunk)
            sha256 = digest.hexdigest()
            if all(max(file.modified, file.changed) < settled for file in files.values()):
                known.add(files, sha256)
        parts.append(Part(sha256=sha256, size=sum(file.size for file in files.values()), files=files))
    known.save()
    return Archive(root=repository.root, parts=tuple(parts), warnings=contents.warnings, known=known)


def _shared_out(files: Mapping[str, File]) -> Iterator[dict[str, File]]:
    """The files of each part.

    A file's name tells which of the shared parts has it, and their number is a power of two: so one that comes, goes or
    changes leaves all other parts what they are.
    """
    total = sum(file.size for file in files.values())
    shares = 1
    while shares < _MOST_SHARES and shares * _LEAST_SHARE < total:
        shares *= 2
    large = max(_LEAST_SHARE, (1 << total.bit_length()) // (2 * _MOST_SHARES))
    shared: dict[int, dict[str, File]] = {}
    for name, file in files.items():
        if file.size >= large:
            yield {name: file}
        else:
            shared.setdefault(zlib.crc32(os.fsencode(name)) % shares, {})[name] = file
    for _, some in sorted(shared.items()):
        # Of one kind together: they compress better, and what is noise lies in one stretch.
        yield dict(sorted(some.items(), key=lambda item: os.path.splitext(item[0])[1]))  # noqa: PTH122 - a third of the time


def _listed(names: Iterable[str]) -> str:
    first, *more = islice(names, 10)
    return f"One of {', '.join(map(repr, [first, *more]))} and more" if more else repr(first)
