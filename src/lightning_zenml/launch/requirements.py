"""Files that say what a project needs: which of them a launch can install, and the way out for the others."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_EXPORT = "and `pip install -r locked.txt` to `commands`"
_WAYS_OUT = {
    r"uv\.lock": "A lock of uv is no list of requirements. Name `pyproject.toml`, or add "
    f"`uv export --frozen --no-emit-project -o locked.txt` {_EXPORT}",
    r"poetry\.lock": "A lock of Poetry is no list of requirements. Name `pyproject.toml`, or add "
    f"`pip install poetry-plugin-export`, `poetry export -o locked.txt` {_EXPORT}",
    r"pdm\.lock": "A lock of PDM is no list of requirements. Name `pyproject.toml`, or add "
    f"`pip install pdm`, `pdm export -o locked.txt` {_EXPORT}",
    r"Pipfile(?:\.lock)?": "A Pipfile is no list of requirements. Add `pip install pipenv`, "
    f"`pipenv requirements > locked.txt` {_EXPORT}",
    r".*\.ya?ml": "A studio is one Python environment, and conda can't make another there. List the packages in a "
    "requirements file, and install what only conda has by `conda install --yes NAME` in `commands`",
}
_USUAL = (
    *("requirements.txt", "pyproject.toml", "setup.py", "uv.lock", "poetry.lock", "Pipfile"),
    *("environment.yml", "environment.yaml"),
)
_INSTALLS = re.compile(
    r"\b(?:pip3?|uv|conda|mamba|poetry|pdm|pipenv|hatch)\s+(?:\S+\s+)*?(?:install|sync|run|add|env\s+(?:update|create))\b"
    r"|\b(?:make|just|nox|tox)\s|\.sh\b"
)
"""What installs something, or may well do so."""
_IN_ITS_OWN = re.compile(r"\b(?:uv|poetry|pipenv|pdm|hatch|rye|pixi)\s+run\b(?!.*--(?:no-project|active)\b)")


def refusal(file: Path) -> str:
    """Tells why a file can't be installed from, and the way out; '' for one that can.

    Args:
        file: path of the file; of what isn't there, the name alone tells.
    """
    if file.name == "pyproject.toml" and _is_of_tools_alone(file):
        return "It has no `[project]`, so it lists no packages. Name the file that does"
    return next((way_out for pattern, way_out in _WAYS_OUT.items() if re.fullmatch(pattern, file.name)), "")


def overlooked(root: Path, working_directory: str, commands: Sequence[str]) -> str:
    """Finds a file that says what the project needs, and that nobody installs.

    Args:
        root: root of the repository.
        working_directory: folder in which the pipeline is started, relative to the root.
        commands: bash that runs before and as the pipeline.

    Returns:
        Path of the file, relative to the root; '': there is none, or a command may install it.
    """
    if any(_INSTALLS.search(command) for command in commands):
        return ""
    folders = dict.fromkeys((root / working_directory, root))
    found = (folder / name for folder in folders for name in _USUAL if _lists(folder / name))
    return next((str(path.resolve().relative_to(root.resolve())) for path in found), "")


def environment_maker(command: str) -> str:
    """Finds a program that runs the rest of a command in an environment of its own; '': there is none.

    Args:
        command: bash that runs the pipeline.
    """
    found = _IN_ITS_OWN.search(command)
    return " ".join(found[0].split()) if found else ""


def _lists(path: Path) -> bool:
    """Whether a file lists packages; many a pyproject.toml only holds the settings of tools."""
    if path.suffix != ".toml":
        return path.is_file()
    told = _project(path)
    return bool(told.get("project", {}).get("dependencies") or told.get("tool", {}).get("poetry"))


def _is_of_tools_alone(path: Path) -> bool:
    """Whether a pyproject.toml holds nothing that an installer reads; setuptools has files of its own."""
    told = _project(path)
    of_setuptools = any(path.with_name(name).is_file() for name in ("setup.py", "setup.cfg"))
    return bool(told) and not ("project" in told or "poetry" in told.get("tool", {}) or of_setuptools)


def _project(path: Path) -> dict[str, Any]:
    """What a pyproject.toml holds; nothing where it can't be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
