"""Packs files into a deterministic archive: the same content gives the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from typing import IO

from lightning_zenml.package.errors import PackageError
from lightning_zenml.package.repository import Repository


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A packed repository.

    Args:
        path: path of the archive file (`.tar.gz`).
        sha256: hex digest of the archive file.
        size: size of the archive file in bytes.
        files: number of files packed.
        warnings: sentences for the user on what doesn't travel, see `Contents`.
    """

    path: Path
    sha256: str
    size: int
    files: int
    warnings: tuple[str, ...] = ()


def pack(repository: Repository, destination: Path) -> Archive:
    """Pack the files that belong to a repository into a `.tar.gz`.

    The bytes depend on names, contents, symlinks and executable bits only: not on time, user, umask or the
    order in which a file system lists files (https://reproducible-builds.org/docs/archives/).

    Args:
        repository: the repository to pack.
        destination: path of the archive file, outside of the repository; its folder exists. Replaced at once,
            when done, and readable only by its owner.

    Raises:
        PackageError: when its files can't be listed (see `Repository.contents`), a file vanishes, changes or
            can't be read while it is packed, or the archive can't be written.
    """
    contents = repository.contents()
    try:
        with NamedTemporaryFile(dir=destination.parent, prefix=f".{destination.name}.", delete=False) as file:
            unfinished = Path(file.name)
            try:
                _write(repository.root, contents.files, file)
                size = file.tell()
                file.seek(0)
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                unfinished.replace(destination)
            except BaseException:
                unfinished.unlink()
                raise
    except OSError as error:
        raise PackageError(f"The archive {str(destination)!r} can't be written: {error}.") from error
    return Archive(path=destination, sha256=sha256, size=size, files=len(contents.files), warnings=contents.warnings)


def _write(root: Path, names: Iterable[PurePosixPath], file: IO[bytes]) -> None:
    # A level of its own: zlib's default may change. No name and no time in the header.
    # GNU's format holds names of any length and any bytes as they are; PAX would have to call them UTF-8.
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for name in names:
            try:
                _add(tar, root / name, str(name))
            except FileNotFoundError as error:
                raise PackageError(f"{str(name)!r} vanished while it was packed. {_ADVICE}") from error
            except OSError as error:
                raise PackageError(f"{str(name)!r} can't be packed: {error}.") from error


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    # A fresh TarInfo has time, user and group 0 and no names of them.
    entry = tarfile.TarInfo(name)
    if path.is_symlink():
        entry.type = tarfile.SYMTYPE
        entry.mode = 0o777
        entry.linkname = os.readlink(path)  # noqa: PTH115 - Path.readlink would tidy it
        tar.addfile(entry)
        return
    with path.open("rb") as content:
        before = os.fstat(content.fileno())
        entry.mode = 0o755 if before.st_mode & stat.S_IXUSR else 0o644
        entry.size = before.st_size
        try:
            tar.addfile(entry, content)
        except OSError:
            if not _changed(content, before):
                raise
        if _changed(content, before):
            raise PackageError(f"{name!r} changed while it was packed. {_ADVICE}")


_ADVICE = "Let nothing write to it meanwhile; or name it in .gitignore, and take it from git (`git rm --cached`)."


def _changed(content: IO[bytes], before: os.stat_result) -> bool:
    now = os.fstat(content.fileno())
    return (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns)
