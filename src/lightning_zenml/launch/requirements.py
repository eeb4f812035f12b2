"""Files that say what a project needs: which of them a launch can install, and the way out for the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

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
_USUAL = ("requirements.txt", "pyproject.toml", "uv.lock", "poetry.lock", "Pipfile", "environment.yml")
_INSTALLS = re.compile(r"\b(?:pip3?|uv|conda|poetry|pdm|pipenv)\s+(?:\S+\s+)*?(?:install|sync)\b")


def refusal(file: str) -> str:
    """Tells why a file can't be installed from, and the way out; '' for one that can.

    Args:
        file: path of the file.
    """
    name = Path(file).name
    return next((way_out for pattern, way_out in _WAYS_OUT.items() if re.fullmatch(pattern, name)), "")


def overlooked(root: Path, working_directory: str, commands: Sequence[str]) -> str:
    """Finds a file that says what the project needs, and that nobody installs.

    Args:
        root: root of the repository.
        working_directory: folder in which the pipeline is started, relative to the root.
        commands: bash that runs before and as the pipeline.

    Returns:
        Path of the file, relative to the root; '': there is none, or a command installs something.
    """
    if any(_INSTALLS.search(command) for command in commands):
        return ""
    folders = dict.fromkeys((root / working_directory, root))
    found = (folder / name for folder in folders for name in _USUAL if (folder / name).is_file())
    return next((str(path.resolve().relative_to(root.resolve())) for path in found), "")
