"""Where a pipeline was started: the folder, and where Python imports from there. Its steps start likewise.

ZenML's local orchestrator runs steps in the very process that was started; elsewhere they find the same relative paths
and the same imports. All is relative to ZenML's source root, which lies elsewhere on each machine.
"""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_zenml.codes import Code
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.payload import variables
from lightning_zenml.launch.payload.records import Record, RecordError
from lightning_zenml.orchestrator.zenml_client.source_root import folder_of_packages
from lightning_zenml.zenml_api.models import START

if TYPE_CHECKING:
    from zenml.config.source import Source
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse


@dataclass(frozen=True, kw_only=True)
class Start(Record):
    """Where a pipeline was started, relative to its source root; `..` leads to what was packed around that.

    Args:
        folder: working directory.
        paths: folders of the program's path of imports, in its order.
    """

    folder: str = "."
    paths: tuple[str, ...] = ()

    @classmethod
    def here(cls, source_root: Path, packed: Path) -> Start:
        """Finds out where this process was started.

        Args:
            source_root: ZenML's source root.
            packed: root of what travels, the source root or a folder around it.

        Returns:
            What lies in the packed folder; the source root stands in for a working directory elsewhere.
        """
        source_root, packed = source_root.resolve(), packed.resolve()
        environments = {Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)} - {packed}

        def travels(folder: Path) -> bool:
            own = any(folder.is_relative_to(prefix) and prefix.is_relative_to(packed) for prefix in environments)
            return folder.is_relative_to(packed) and folder.is_dir() and not own

        here = Path.cwd()
        paths = dict.fromkeys(Path(path).resolve() for path in sys.path)
        return cls(
            folder=os.path.relpath(here, source_root) if travels(here) else ".",
            paths=tuple(os.path.relpath(path, source_root) for path in paths if travels(path)),
        )

    @classmethod
    def of(cls, snapshot: PipelineSnapshotResponse, run: PipelineRunResponse, source_root: Path, packed: Path) -> Start:
        """Finds out where the steps of a run start: where it was started, for one that somebody resumes; else here.

        Args:
            snapshot: compiled pipeline of the run.
            run: the pipeline's run in ZenML.
            source_root: ZenML's source root.
            packed: root of what travels, the source root or a folder around it.

        Raises:
            LaunchError: if the code of a run that is resumed isn't here: what is here would travel. Also if its steps
                could not import it.
        """
        try:
            recorded = cls.from_json(run.run_metadata[START])
        except (KeyError, RecordError):
            check_imports(snapshot, source_root, packed)
            return cls.here(source_root, packed)
        _check_code(snapshot, source_root)
        return recorded

    @classmethod
    def parse(cls, text: str) -> Start:
        """Reads what `str` gives.

        Args:
            text: JSON, from a command line.

        Raises:
            RecordError: if it is none, or a newer version has written it.
        """
        try:
            return cls.from_json(json.loads(text))
        except ValueError as error:
            raise RecordError(f"It isn't known where the pipeline was started: {error}") from None

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ) -> Start:
        """Finds out where the pipeline of this step was started.

        Args:
            environ: variables to look in.
        """
        return cls.parse(environ.get(variables.START) or "{}")

    def __str__(self) -> str:
        return json.dumps(self.to_json())

    def variables(self) -> dict[str, str]:
        """What the environment of a step must hold for `find`."""
        return {variables.START: str(self)}

    def directory(self, source_root: Path) -> Path:
        """The working directory on this machine; the source root where that isn't there, as no empty folder travels.

        Args:
            source_root: ZenML's source root on this machine.
        """
        directory = source_root / self.folder
        return Path(os.path.normpath(directory)) if directory.is_dir() else source_root

    def enter(self, source_root: Path, more: Sequence[Path] = ()) -> None:
        """Goes to the working directory; lets Python import what the program that was started could.

        Args:
            source_root: ZenML's source root on this machine.
            more: folders to import from at last.
        """
        os.chdir(self.directory(source_root))
        wanted = [source_root / path for path in self.paths]
        folders = dict.fromkeys(os.path.normpath(path) for path in (*wanted, source_root, *more) if path.is_dir())
        # In front, in this order: what the pipeline's script finds beside itself, its steps find there, too.
        sys.path[:] = [*folders, *(path for path in sys.path if path not in folders)]


def check_imports(snapshot: PipelineSnapshotResponse, source_root: Path, packed: Path) -> None:
    """Sees whether steps can import the modules that they are in.

    Args:
        snapshot: compiled pipeline.
        source_root: ZenML's source root.
        packed: root of what travels, the source root or a folder around it.

    Raises:
        LaunchError: if one imports what stays behind, as ZenML takes a folder within the package for the root.
    """
    above = folder_of_packages()
    if above and not source_root.resolve().is_relative_to(above):
        # Another program's, such as `cProfile`, that runs this one.
        above = None
    left = above if above and not above.is_relative_to(packed.resolve()) else None
    for source in _of_the_user(snapshot):
        for file in _files(source_root, source):
            depth = source.module.count(".") + (file.name == "__init__.py")
            if what := _out_of_reach(file, depth, left):
                raise LaunchError(
                    f"`{file}` imports {what}. Steps can't: nobody has run `zenml init`, so ZenML takes {source_root} "
                    f"for the root of the code, and nothing above it travels. Run `zenml init` in "
                    f"{above or source_root.parent}, then `zenml stack set`, as a new root has the stack `default`, "
                    "and start the pipeline again. Nothing was started.",
                    code=Code.NO_PACKAGE,
                )


def _out_of_reach(file: Path, depth: int, left: Path | None) -> str:
    """What a file imports, whenever it is imported, from above the source root, in words; '' for nothing.

    Args:
        file: the file; may not be there.
        depth: number of packages that it is in, for ZenML.
        left: folder that stays behind though the program imports from it; None where there is none.
    """
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError, OSError):
        return ""
    for statement in body:
        names: list[str] = []
        if isinstance(statement, ast.ImportFrom):
            if statement.level > depth:
                return "by a leading dot"
            names = [statement.module or ""]
        elif isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        for top in (name.partition(".")[0] for name in names):
            if left and left in _places(top):
                return f"`{top}`, which lies in {left}"
    return ""


def _places(name: str) -> set[Path]:
    """The folders in which a module lies that this program has imported."""
    module = sys.modules.get(name)
    paths = getattr(module, "__path__", None) or [getattr(module, "__file__", None)]
    return {Path(path).resolve().parent for path in paths if path}


def _check_code(snapshot: PipelineSnapshotResponse, source_root: Path) -> None:
    for source in _of_the_user(snapshot):
        if not any(file.is_file() for file in _files(source_root, source)):
            raise LaunchError(
                f"The run's code isn't in {source_root}: there is no module `{source.module}`, which holds "
                f"`{source.attribute}`. Go to the folder where the pipeline was started, or that of its `zenml init`, "
                "and do it there. Nothing was started.",
                code=Code.CODE_ELSEWHERE,
            )


def _of_the_user(snapshot: PipelineSnapshotResponse) -> list[Source]:
    """Where a pipeline and its steps come from, as far as that is code of the user's."""
    spec = snapshot.pipeline_spec
    steps = [step.spec.source for step in snapshot.step_configurations.values()]
    sources = [*([spec.source] if spec and spec.source else []), *steps]
    return [source for source in sources if source.type.value == "user"]


def _files(source_root: Path, source: Source) -> tuple[Path, Path]:
    """The files that may hold a module."""
    module = source_root.joinpath(*source.module.split("."))
    return module.parent / f"{module.name}.py", module / "__init__.py"
