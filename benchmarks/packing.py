"""Packing a repository beside `git ls-files | tar | zstd -1` and ZenML's `CodeArchive`: `make bench-packing`.

All pack the same tree in turns, in this one call. The tree is text and, a quarter of the files, noise, which stands for
images and weights; sizes are distributed as in real repositories, log-normally.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path

from zenml.utils.code_utils import CodeArchive

from lightning_zenml.package.archive import Archive, pack
from lightning_zenml.package.known import Known
from lightning_zenml.package.packing import Packing
from lightning_zenml.package.repository import Repository

_COMPRESSOR = ("zstd", "-1", "-q") if shutil.which("zstd") else ("gzip", "-1")
_FOLDERS = 400
_CHANGED = "ours, one file changed"


@dataclass(frozen=True)
class Taken:
    """What one way to pack the tree took.

    Args:
        seconds: wall time.
        cpu: seconds of all processes on all cores.
        size: bytes that would be uploaded.
    """

    seconds: float
    cpu: float
    size: int


def main() -> None:
    """Prints the medians, and a JSON object with all figures if a file for it is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="number of files")
    parser.add_argument("--megabytes", type=float, default=280, help="size of them all")
    parser.add_argument("--rounds", type=int, default=5, help="how often each packs; one shows that all still works")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lightning-zenml-bench-") as scratch:
        bench = _Bench(Path(scratch))
        print(f"making {arguments.files} files, {arguments.megabytes:g} MB", file=sys.stderr, flush=True)
        bench.make_tree(arguments.files, int(arguments.megabytes * 1e6))
        figures = bench.measure(arguments.rounds)
    _print(figures, arguments.rounds)
    if arguments.json:
        about = {"files": arguments.files, "megabytes": arguments.megabytes, **_machine()}
        taken = {name: [asdict(one) for one in all_of_it] for name, all_of_it in figures.items()}
        arguments.json.write_text(json.dumps({"about": about, "figures": taken}, indent=1))


class _Bench:
    """One tree and the ways to pack it.

    Args:
        scratch: folder for everything.
    """

    def __init__(self, scratch: Path) -> None:
        self._root = scratch / "repository"
        self._scratch = scratch
        self._known = scratch / "known"
        self._sent: set[str] = set()

    def make_tree(self, files: int, size: int) -> None:
        """A git repository with everything committed."""
        text = b"".join(path.read_bytes() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")))
        chance = random.Random(0)
        noise = chance.randbytes(16_000_000)
        weights = [chance.lognormvariate(0, 1) for _ in range(files)]
        for number, weight in enumerate(weights):
            folder = self._root / f"folder_{number % _FOLDERS}"
            folder.mkdir(parents=True, exist_ok=True)
            source, suffix = (noise, "bin") if number % 4 == 0 else (text, "py")
            (folder / f"file_{number}.{suffix}").write_bytes(_slice(source, int(weight / sum(weights) * size), chance))
        for command in ("init --quiet", "add --all", "-c user.name=A -c user.email=a@b commit --quiet --message=All"):
            subprocess.run(["git", *command.split()], cwd=self._root, check=True)
        # What was written within the last seconds may be written again without a trace: it is never known.
        time.sleep(2.5)

    def measure(self, rounds: int) -> dict[str, list[Taken]]:
        """Figures of each round, by the name of the way."""
        ways = {
            "pipe": self._pipe,
            "CodeArchive": self._code_archive,
            "ours, all of it": self._all,
            "ours, digest alone": self._digest,
            "ours, unchanged": self._what_is_new,
            _CHANGED: self._what_is_new,
        }
        figures: dict[str, list[Taken]] = {name: [] for name in ways}
        pack(Repository.open(self._root), Known(self._known))
        for number in range(1, rounds + 1):
            for name, way in ways.items():
                if name == _CHANGED:
                    next(self._root.glob(f"*/file_{4 * number + 1}.py")).write_text(f"{number}\n")
                figures[name].append(_taken(way))
                print(f"round {number} of {rounds}, {name}: {figures[name][-1]}", file=sys.stderr, flush=True)
        return figures

    def _pipe(self) -> int:
        target = self._scratch / "pipe"
        with target.open("wb") as out:
            pipe = f"git ls-files -z | tar --create --null --files-from=- | {' '.join(_COMPRESSOR)}"
            subprocess.run(["bash", "-o", "pipefail", "-c", pipe], cwd=self._root, stdout=out, check=True)
        return target.stat().st_size

    def _code_archive(self) -> int:
        with (self._scratch / "code_archive").open("wb") as out:
            CodeArchive(root=str(self._root)).write_archive(out)
        return (self._scratch / "code_archive").stat().st_size

    def _all(self) -> int:
        """As on a machine that knows nothing of the tree, to a studio that has nothing of it."""
        archive = pack(Repository.open(self._root))
        self._sent = {part.sha256 for part in archive.parts}
        return self._packed(archive, self._sent)

    def _digest(self) -> int:
        """As on a machine that knows nothing of the tree, to a studio that has all of it."""
        pack(Repository.open(self._root))
        return 0

    def _what_is_new(self) -> int:
        """As on a machine that has packed the tree before, to a studio that has what was packed then."""
        archive = pack(Repository.open(self._root), Known(self._known))
        return self._packed(archive, {part.sha256 for part in archive.parts} - self._sent)

    def _packed(self, archive: Archive, wanted: set[str]) -> int:
        if not wanted:
            return 0
        folder = self._scratch / "packed"
        folder.mkdir()
        with closing(Packing(archive, folder)) as packing:
            size = sum(path.stat().st_size for path in packing.packed(wanted).values())
        shutil.rmtree(folder)
        return size


def _slice(source: bytes, size: int, chance: random.Random) -> bytes:
    found = bytearray()
    while len(found) < size:
        start = chance.randrange(len(source))
        found += source[start : start + size - len(found)]
    return bytes(found)


def _taken(way: Callable[[], int]) -> Taken:
    began, cpu = time.monotonic(), _cpu()
    size = way()
    return Taken(time.monotonic() - began, _cpu() - cpu, size)


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _print(figures: dict[str, list[Taken]], rounds: int) -> None:
    medians = {
        name: Taken(*(statistics.median(getattr(one, field.name) for one in taken) for field in fields(Taken)))
        for name, taken in figures.items()
    }
    pipe = medians["pipe"]
    print(" · ".join(f"{name} {value}" for name, value in _machine().items()))
    print(f"{f'median of {rounds}':26}{'s':>8}{'CPU s':>8}{'MB':>8}   of the pipe:{'s':>8}{'MB':>8}")
    for name, one in medians.items():
        print(
            f"{name:26}{one.seconds:>8.2f}{one.cpu:>8.2f}{one.size / 1e6:>8.1f}{'':15}"
            f"{one.seconds / pipe.seconds:>8.2f}{one.size / pipe.size:>8.3f}"
        )


def _machine() -> dict[str, str]:
    tool = subprocess.run([_COMPRESSOR[0], "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
        "ZenML": metadata.version("zenml"),
        _COMPRESSOR[0]: next(word for word in re.findall(r"v?[\d.]+", tool) if "." in word),
    }


if __name__ == "__main__":
    main()
