"""The last lines of a terminal, which show how far something is, below all that is printed meanwhile.

Whatever writes to the terminal has them taken away before and put back afterwards, so that no line of others is broken:
what is printed, and what handlers of `logging` write by ways of their own, as ZenML's do.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_zenml.terminal.stages import Stages, Step

QUIET = "LIGHTNING_ZENML_QUIET"
"""Variable that, set to anything, keeps what comes of a launch from being told, but for warnings and errors."""
_FRAME = 0.25
"""Seconds between two pictures."""
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MOST_STEPS = 12
"""Steps that are shown; of more, the last."""
_NARROWEST, _LOWEST = 40, 8
"""Columns and lines of a terminal below which there is no room."""
_STYLES = {"running": "cyan", "completed": "green", "cached": "green", "failed": "red"}


def is_shown(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody looks at a terminal that can show it, and has not asked for plain lines.

    Args:
        stream: where it would be shown.
        environ: environment variables: `NO_COLOR`, `TERM` and `LIGHTNING_ZENML_QUIET` count.
    """
    if environ.get("NO_COLOR") or environ.get(QUIET) or environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return False
    try:
        size = os.get_terminal_size(stream.fileno())
        encoded = _SPINNER.encode(stream.encoding or "ascii")
    except (OSError, ValueError, AttributeError):
        # No terminal, no file, or one that can't write more than ASCII.
        return False
    return bool(encoded) and stream.isatty() and size.columns >= _NARROWEST and size.lines >= _LOWEST


class Live:
    """Shows stages and steps, for a block; where nobody could see them, the block is one like any other.

    Args:
        stream: the terminal; None: standard output.
        shown: whether there is anything to show it to; None: as `is_shown` says.
        clock: function that tells seconds, from any start on.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        shown: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stdout
        self.is_shown = is_shown(self._stream) if shown is None else shown
        self._clock = clock
        self._stages = Stages(clock)
        self._lock = threading.RLock()
        self._depth = 0
        self._lines = 0
        self._drawn = 0.0
        self._process = os.getpid()
        self._is_within_line = False
        self._is_open = False
        self._over = threading.Event()
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Live:
        if self.is_shown:
            self._fd = self._stream.fileno()
            for stream in {id(one): one for one in (self._stream, sys.stdout, sys.stderr)}.values():
                if stream is self._stream or _is_terminal(stream):
                    self._watch_stream(stream)
            for handler in _handlers():
                self._watch_handler(handler)
            self._is_open = True
            threading.Thread(target=self._animate, name="live", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        if not self.is_shown:
            return
        self._over.set()
        with self._lock:
            self._is_open = False
            self._erase()
            self._undo.close()
            with contextlib.suppress(Exception):
                self._put(self._steps())

    def feed(self, text: str) -> None:
        """Follows what is told of the launch, and of its run.

        Args:
            text: whole lines, or a piece of a log.
        """
        if self.is_shown:
            with self._lock:
                self._stages.feed(text)

    def stage(self, text: str, sent: Callable[[], tuple[int, int] | None] = lambda: None) -> None:
        """Begins something that takes its time.

        Args:
            text: what is done from now on.
            sent: tells how many bytes of how many are through; None: that isn't known.
        """
        with self._lock:
            self._stages.begin(text, sent)
            if self._is_open:
                self._draw()

    def advances(self, text: str) -> bool:
        """Takes a line that tells how a launch comes along, and begins what it tells of, or ends it.

        Args:
            text: the line.

        Returns:
            Whether it is worth a line of its own: how long something is waited for shows by itself.
        """
        if text.startswith("Waiting for "):
            return False
        if not text.startswith(("Waited ", "Uploaded ")):
            self.stage(text)
        return True

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """A block in which something else is written."""
        if os.getpid() != self._process:
            # A child by `fork` has none of this thread's, and a lock that nobody may give back.
            yield
            return
        with self._lock:
            self._depth += 1
            try:
                if self._depth == 1:
                    self._erase()
                yield
            finally:
                self._depth -= 1
                # Of many lines at once, each is not worth a picture.
                if not self._depth and self._clock() - self._drawn >= _FRAME:
                    self._drawn = self._clock()
                    self._draw()

    def _watch_stream(self, stream: TextIO) -> None:
        write = stream.write

        def watched(text: str) -> int:
            with self._aside():
                written = write(text)
                if text:
                    self._is_within_line = not text.endswith("\n")
                stream.flush()
            return written

        with contextlib.suppress(AttributeError):
            stream.write = watched  # type: ignore[method-assign]
            self._undo.callback(setattr, stream, "write", write)

    def _watch_handler(self, handler: logging.Handler) -> None:
        emit = handler.emit

        def watched(record: logging.LogRecord) -> None:
            with self._aside():
                emit(record)
                handler.flush()

        handler.emit = watched  # type: ignore[method-assign]
        self._undo.callback(setattr, handler, "emit", emit)

    def _animate(self) -> None:
        while not self._over.wait(_FRAME):
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        """In one piece with what takes the last picture away: a terminal would flicker."""
        # Below half a line there is no room.
        if not self._is_open or self._is_within_line or self._depth:
            return
        # Whatever is wrong with the picture, what is printed goes on.
        with contextlib.suppress(Exception):
            drawn = self._steps() + self._stage()
            self._put(self._erasure + drawn)
            self._lines = drawn.count("\n")

    def _erase(self) -> None:
        self._put(self._erasure)
        self._lines = 0

    @property
    def _erasure(self) -> str:
        return f"\r\x1b[{self._lines}A\x1b[J" if self._lines else ""

    def _put(self, text: str) -> None:
        """Past Python's streams, which others may have changed to keep what is written."""
        data = text.encode(self._stream.encoding or "utf-8", "replace")
        # Nobody is there any more to see it.
        with contextlib.suppress(OSError, ValueError):
            while data:
                data = data[os.write(self._fd, data) :]

    def _stage(self) -> str:
        stage = self._stages.current
        if stage is None:
            return ""
        seconds = self._clock() - stage.since
        spinner = _SPINNER[int(seconds / _FRAME) % len(_SPINNER)]
        sent = stage.sent()
        amount = f" · {sent[0] / 1e6:.1f} of {sent[1] / 1e6:.1f} MB" if sent else ""
        words = Text.assemble((f"{spinner} ", "cyan"), stage.text, (f" · {_duration(seconds)}{amount}", "dim"))
        words.truncate(self._width - len(amount), overflow="ellipsis")
        return self._rendered(words)

    def _steps(self) -> str:
        steps = self._stages.steps[-_MOST_STEPS:]
        if not steps:
            return ""
        table = Table(box=None, pad_edge=False, show_header=False)
        for _ in range(3):
            table.add_column(no_wrap=True, overflow="ellipsis")
        for step in steps:
            table.add_row(step.name, Text(step.state, style=_STYLES.get(step.state, "")), self._time_of(step))
        return self._rendered(table)

    def _time_of(self, step: Step) -> str:
        if step.state == "cached":
            return ""
        return _duration((self._clock() if step.ended is None else step.ended) - step.since)

    def _rendered(self, what: Any) -> str:
        console = Console(
            file=io.StringIO(),
            force_terminal=True,
            width=self._width,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        with console.capture() as captured:
            console.print(what, no_wrap=True, overflow="ellipsis", crop=True)
        return captured.get()

    @property
    def _width(self) -> int:
        try:
            # One that is filled to its last column may break the line or not.
            return max(os.get_terminal_size(self._fd).columns - 1, 1)
        except OSError:
            return _NARROWEST


def _handlers() -> list[logging.Handler]:
    loggers = [logging.root, *(one for one in logging.root.manager.loggerDict.values() if hasattr(one, "handlers"))]
    found = {id(handler): handler for logger in loggers for handler in logger.handlers}
    return [handler for handler in found.values() if _is_terminal(getattr(handler, "stream", None))]


def _is_terminal(stream: Any) -> bool:
    """Whether it leads to a terminal; a stream that wraps another one, as ZenML's, may not tell."""
    if stream is None:
        return False
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError, OSError):
        return True


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    return f"{minutes}:{rest:02}"
