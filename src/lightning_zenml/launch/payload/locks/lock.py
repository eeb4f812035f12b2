"""The lock that fits a launch: versions that go together, so that uv need not look for them."""

from __future__ import annotations

import platform
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from lightning_zenml.launch.payload.requirements.wanted import normalized

_TRIES = 5
"""How often what opposes the lock leaves it, before it is left out as a whole."""
FOR = "# for "
"""Begins a line that has a requirement which the lock is made for."""
_DISAGREE = re.compile(r"No solution found|Hash mismatch|no overlapping hashes")
"""How uv tells that requirements and lock don't go together, or that an index has other files of these versions."""


@dataclass(frozen=True)
class Outcome:
    """How an installer has ended.

    Args:
        exit_code: its exit code; None when the timeout came first.
        error: its words from the first that tell of an error.
    """

    exit_code: int | None
    error: str


@dataclass(frozen=True)
class Lock:
    """Versions of packages, with the hashes of their files.

    A preference: what somebody asks for otherwise, and what is installed already, is not in it.

    Args:
        lines: lines of a file of requirements, each `name==version` and what follows.
    """

    lines: tuple[str, ...] = ()

    @classmethod
    def find(
        cls,
        specifiers: Sequence[str],
        *,
        asked: Iterable[str],
        there: Collection[str],
        environment: Mapping[str, str],
    ) -> Lock:
        """The lock for a launch, less what it doesn't decide; an empty one where none fits.

        Args:
            specifiers: requirement specifiers, `zenml==<version>` among them.
            asked: these, and the lines of all files of requirements.
            there: what the environment has, see `distributions`.
            environment: variables of the installer.
        """
        version = next((one.partition("==")[2] for one in specifiers if one.startswith("zenml==")), "")
        # An installer has one list of constraints: the user's.
        if not version or "UV_CONSTRAINT" in environment or not _is_for_this_machine():
            return cls()
        known = [text.splitlines() for text in _texts(_minor(version))]
        if not known:
            return cls()
        lines = max(known, key=lambda lines: (len(_made_for(lines) & set(specifiers)), -len(lines)))
        made_for, pinned = _made_for(lines), {line.split(" ")[0] for line in lines}
        decided = {_name(one) for one in asked if one not in made_for | pinned and _decides(one)}
        return cls(tuple(line for line in lines if not line.startswith("#"))).without(
            decided | {normalized(entry.split("-")[0]) for entry in there}
        )

    def without(self, names: Collection[str]) -> Lock:
        """The rest of it, without packages of these normalized names."""
        return Lock(tuple(line for line in self.lines if _name(line) not in names))

    def tried(self, install: Callable[[Sequence[str]], Outcome]) -> Outcome:
        """Installs with this lock as far as nothing opposes it, in the end without.

        Args:
            install: runs uv with further options.

        Returns:
            How the last try has ended.
        """
        lock = self
        for _ in range(_TRIES):
            if not lock.lines:
                break
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
                file.write("\n".join([*lock.lines, ""]))
                file.flush()
                outcome = install(("--constraint", file.name))
            if not outcome.exit_code or not _DISAGREE.search(outcome.error):
                return outcome
            lock = lock._less_what_is_named(outcome.error)
        return install(())

    def _less_what_is_named(self, error: str) -> Lock:
        """The rest of the lock; an empty one where the error names nothing of it."""
        rest = self.without(set(map(_name, re.findall(r"[A-Za-z0-9][\w.-]*", error))))
        return rest if len(rest.lines) < len(self.lines) else Lock()


def wanted_by(integration: str, version: str) -> tuple[str, ...] | None:
    """What ZenML wants installed for an integration that there is a lock for.

    Args:
        integration: name of the integration.
        version: version of ZenML.

    Returns:
        Requirement specifiers, sorted; None where there is no lock for it.
    """
    lock = resources.files(__package__ or "").joinpath(f"{_minor(version)}-{integration}.txt")
    return tuple(sorted(_made_for(lock.read_text().splitlines()))) or None if lock.is_file() else None


def distributions() -> set[str]:
    """What this environment has of packages, as `<name>-<version>`."""
    folders = [path for path in map(Path, sys.path) if path.is_dir()]
    return {
        entry.name.rpartition(".")[0]
        for path in folders
        for entry in path.iterdir()
        if entry.suffix in (".dist-info", ".egg-info")
    }


def _is_for_this_machine() -> bool:
    return platform.system() == "Linux" and platform.machine() == "x86_64"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _texts(minor: str) -> list[str]:
    """The locks for a minor version of ZenML, e.g. `0.98`. From a wheel, which the payload runs from, too."""
    folder = resources.files(__package__ or "")
    return [entry.read_text() for entry in folder.iterdir() if entry.name.startswith(f"{minor}-")]


def _made_for(lines: Sequence[str]) -> set[str]:
    return {line.removeprefix(FOR) for line in lines if line.startswith(FOR)}


def _decides(requirement: str) -> bool:
    """Whether a requirement says more than that the package is wanted: version, hashes, where from."""
    return re.fullmatch(r"[\w.-]+\s*(\[[^\]]*\])?", requirement) is None


def _name(text: str) -> str:
    """Normalized name of the package that a text begins with; '' where it is none."""
    found = re.match(r"[A-Za-z0-9][\w.-]*", text)
    return normalized(found[0].rstrip("-_.")) if found else ""
