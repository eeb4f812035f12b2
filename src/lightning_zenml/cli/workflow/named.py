"""What a step's inputs name: scripts and modules that the repository must hold, and values of the job's matrix."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning_zenml.action.inputs import Inputs
from lightning_zenml.cli.workflow.document import Field
from lightning_zenml.launch import own_code

EXPRESSION = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)
_OF_MATRIX = re.compile(r"\bmatrix\.([A-Za-z_][\w-]*)")
_SCRIPT = re.compile(
    r"(?:^|[\s;&|])(?:python[\d.]*|bash|sh)\s+(?:-\w+\s+)*(?P<file>[^\s;&|$\"'*-][^\s;&|$\"'*]*\.(?:py|sh))(?=$|[\s;&|])"
)
_MODULE = re.compile(r"(?:^|\s)(?:-m|--module)[\s=]+(?P<name>[^\W\d][\w.]*)")
_ELSEWHERE = re.compile(r"\b(?:cd|pushd)\s|PYTHONPATH")


@dataclass(frozen=True, kw_only=True)
class Named:
    """A script or module that an input names.

    Args:
        by: the input.
        name: the script's path or the module's name, as it stands there.
        path: path in the repository; '' where there is no such thing.
        hint: what may be meant instead, in words; '' for nothing.
    """

    by: str
    name: str
    path: str
    hint: str = ""


def code_of(root: Path, inputs: Inputs, run: str) -> Iterator[Named]:
    """Finds what the command starts. Of a module that may well be another project's nothing is told.

    Args:
        root: root of the repository.
        inputs: the step's inputs.
        run: the command as it stands in the workflow.
    """
    started = root / inputs.working_directory
    # What an expression stands for is anybody's guess.
    run = EXPRESSION.sub("$x", run)
    if not _ELSEWHERE.search(run):
        for found in _SCRIPT.finditer(run):
            yield from _script(root, started, found["file"])
        for found in _MODULE.finditer(run):
            yield from _module(root, started, "run", found["name"], found["name"])
    if inputs.pipeline:
        module = inputs.pipeline.rpartition(".")[0]
        found_modules = list(_module(root, started, "pipeline", inputs.pipeline, module))
        yield from found_modules or [Named(by="pipeline", name=inputs.pipeline, path="")]


def unknown_of_matrix(job: Field, inputs: Mapping[str, Field]) -> Iterator[tuple[str, str, int]]:
    """Finds values of the matrix that the job's has not.

    Args:
        job: the job.
        inputs: the step's inputs.

    Yields:
        The input, what is wrong with it, and its line.
    """
    matrix = job["strategy"]["matrix"]
    if matrix.text or matrix["include"].text:
        # It is made by an expression.
        return
    known = {name for name in matrix.fields if name not in ("include", "exclude")}
    known |= {name for item in matrix["include"].items for name in item.fields}
    has = f"has only {', '.join(f'`{name}`' for name in sorted(known))}" if known else "is not there"
    for name, value in inputs.items():
        used = (found for one in EXPRESSION.findall(value.text) for found in _OF_MATRIX.findall(one))
        for key in dict.fromkeys(used):
            if key not in known:
                yield (
                    name,
                    f"uses `matrix.{key}`, but the job's `strategy.matrix` {has}: GitHub puts nothing there.",
                    value.line,
                )


def _script(root: Path, started: Path, file: str) -> Iterator[Named]:
    path = posixpath.normpath(posixpath.join(started.relative_to(root).as_posix(), file))
    if posixpath.isabs(path) or path.startswith(".."):
        return
    if (root / path).is_file():
        yield Named(by="run", name=file, path=path)
        return
    elsewhere = next((one for one in own_code.folders(root) if (one / file).is_file()), None)
    if elsewhere is not None:
        hint = (
            f"It lies in `{elsewhere.relative_to(root).as_posix()}`: set `working-directory`, or name it from the root."
        )
    else:
        folder = (root / path).parent
        beside = [one.name for one in folder.glob(f"*{Path(file).suffix}")] if folder.is_dir() else []
        nearest = difflib.get_close_matches(Path(file).name, beside, n=1)
        hint = f"Did you mean `{posixpath.join(posixpath.dirname(file), nearest[0])}`?" if nearest else ""
    yield Named(by="run", name=file, path="", hint=hint)


def _module(root: Path, started: Path, by: str, name: str, module: str) -> Iterator[Named]:
    top, *rest = module.split(".")
    package = None if own_code.holds(started, top) else own_code.find(root, top)
    folder = root / package.folder if package else started
    if not own_code.holds(folder, top):
        return
    base = folder.joinpath(top, *rest)
    files = [base.with_suffix(".py"), base / "__main__.py", base / "__init__.py"]
    there = next((file for file in files if file.is_file()), base if base.is_dir() else None)
    yield Named(by=by, name=name, path=there.relative_to(root).as_posix() if there else "")
