"""ZenML's source root where nobody has run `zenml init`, and `python -m` has started the program.

ZenML takes the folder of the program's file for it (`zenml.utils.source_utils`), as if the file had been started. A
module of a package is in no package then, and what it imports by a leading dot is found by no step.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from lightning_zenml.launch.payload.variables import CALLER, CODE


def take_that_of_packages(source_utils: ModuleType) -> None:
    """Has ZenML take the folder that Python has found the program's package in.

    Args:
        source_utils: `zenml.utils.source_utils`.
    """
    of_the_file, here = source_utils.get_implicit_source_root, Path.cwd()

    def implicit_source_root() -> str:
        folder = folder_of_packages()
        if folder is None:
            return str(of_the_file())
        # Of Python's own modules that run another program, such as `cProfile`, there is nothing to import.
        return str(folder if _has_code(folder, os.environ) else here)

    source_utils.get_implicit_source_root = implicit_source_root  # type: ignore[attr-defined]


def folder_of_packages() -> Path | None:
    """The folder in which `python -m` has found the program, or the package that it is in; None: a file was started."""
    spec: ModuleSpec | None = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None or not spec.origin:
        return None
    return Path(spec.origin).resolve().parents[spec.name.count(".")]


def _has_code(folder: Path, environ: Mapping[str, str]) -> bool:
    """Whether packages of the user's may be there: in the code, or in what was installed in the studio."""
    if code := environ.get(CODE):
        return folder.is_relative_to(Path(code).resolve()) or "site-packages" in folder.parts
    repository = json.loads(environ[CALLER])["repository"]
    return folder.is_relative_to(Path(repository).resolve())
