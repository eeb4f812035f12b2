"""A real terminal for a program (a pty), and what a person sees in it at last."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_CODE = re.compile(r"\x1b\[(?P<number>\d*)(?P<kind>[A-Za-z])|(?P<other>[\r\n])|(?P<text>[^\x1b\r\n]+)")


@dataclass(frozen=True)
class Shown:
    """What a program has written.

    Args:
        exit_code: of the program.
        terminal: what came to the terminal, as it came.
        stdout: what came to standard output, where that is no terminal.
    """

    exit_code: int
    terminal: str
    stdout: str = ""

    @property
    def lines(self) -> list[str]:
        """What is seen in the end, as far as it could be scrolled back to."""
        lines, row, column = [""], 0, 0
        for code in _CODE.finditer(self.terminal):
            if text := code["text"]:
                before = lines[row].ljust(column)
                lines[row] = before[:column] + text + before[column + len(text) :]
                column += len(text)
            elif code["other"] == "\r":
                column = 0
            elif code["other"] == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif code["kind"] == "A":
                row -= int(code["number"] or 1)
                assert row >= 0, "above the first line"
            elif code["kind"] == "J":
                lines[row:] = [lines[row][:column]]
            else:
                assert code["kind"] in "mK", code[0]
        return lines


def run_in_terminal(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], *, only_stderr: bool = False
) -> Shown:
    """Runs a program in a terminal of 100 columns and 30 lines; only its errors are seen there, if so wanted."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    told = bytearray()

    def read() -> None:
        # The end of a terminal is an error (EIO).
        with contextlib.suppress(OSError):
            while data := os.read(master, 65536):
                told.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with subprocess.Popen(
            command,
            cwd=folder,
            env={"TERM": "xterm-256color", "LANG": "C.UTF-8", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if only_stderr else slave,
            stderr=slave,
            text=True,
        ) as process:
            os.close(slave)
            stdout, _ = process.communicate()
        reader.join()
    finally:
        os.close(master)
    return Shown(process.returncode, told.decode(errors="replace"), stdout or "")
