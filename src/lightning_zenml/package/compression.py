"""Compression that costs next to nothing where there is nothing to compress."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import IO, Any

_compress: Callable[..., Any] = zlib.compressobj
with suppress(ImportError):
    # Intel's ISA-L (the extra `fast`) writes what zlib writes, on any processor, in a quarter of the time.
    from isal import isal_zlib

    _compress = isal_zlib.compressobj

_SAMPLE = 256
_NOISE = 128
"""Different bytes in a sample from which on it is noise: chance gives 162 of 256, text and tables below 100."""
_STORED, _FAST = 0, 1
"""Levels of zlib: what is compressed already takes twice as long at level 1 as text, for nothing."""


class Compressor:
    """Writes what it is given as gzip, in one member (RFC 1952) for each stretch that is worth compressing or not.

    Args:
        file: the file that is written to.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._level = _FAST
        self._stream = _stream(self._level)

    def write(self, data: bytes) -> None:
        """Compresses some more."""
        level = _level(data) if len(data) > 2 * _SAMPLE else self._level
        if level != self._level:
            self._end()
            self._level, self._stream = level, _stream(level)
        self._file.write(self._stream.compress(data))

    def __enter__(self) -> Compressor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._end()

    def _end(self) -> None:
        self._file.write(self._stream.flush())


def _stream(level: int) -> Any:
    compress = zlib.compressobj if level == _STORED else _compress
    return compress(level, zlib.DEFLATED, wbits=zlib.MAX_WBITS | 16)


def _level(data: bytes) -> int:
    middle = len(data) // 2
    return _STORED if len(set(data[middle : middle + _SAMPLE])) > _NOISE else _FAST
