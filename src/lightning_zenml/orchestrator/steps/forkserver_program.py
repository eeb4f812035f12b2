"""The program of a fork server: imports first, then makes a copy of itself for each step, which becomes that step.

`python -P -m lightning_zenml.orchestrator.steps.forkserver_program SOCKET MODULE...`, from
`lightning_zenml.orchestrator.steps.forkserver`. Each byte that comes on the socket brings two file descriptors, the
copy's stdin and stdout; the answer is the copy's process id, or why there is none.

A copy is told its step on its stdin, as every step's process is. Nothing may tell it from a fresh process: where
something would, it becomes a fresh one by `exec`.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
import warnings
from collections.abc import ItemsView, KeysView, Sequence, ValuesView
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from lightning_zenml.orchestrator.steps import process_program
from lightning_zenml.orchestrator.steps.task import Task

if TYPE_CHECKING:
    from pydantic import BaseModel

_FRESH = (sys.executable, "-P", "-m", process_program.__name__)
_READ_BY_NATIVE_CODE = (
    *("PYTHON", "LD_", "MALLOC_", "GLIBC_", "LANG", "LC_", "TZ"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "TORCH", "PYTORCH", "TF_", "XLA_"),
    *("CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "NCCL_", "HIP_", "ROCR_"),
)
"""Beginnings of variables that are read when Python or a library starts, unnoticed by Python's `os.environ`."""
_READ_ONE_BY_ONE = ("ZENML_", "LIGHTNING_ZENML_")
"""Beginnings of variables that mean nothing to what looks through all, as urllib does for proxies; ZenML excepted."""
_VIEWS = (ItemsView.__iter__.__code__, ValuesView.__iter__.__code__)
_ACCELERATORS = ("/dev/nvidia", "/dev/kfd", "/dev/dri", "/dev/accel", "/dev/vfio")


def main() -> None:
    """Serves until the controller has ended; in a copy, runs the copy's step."""
    packages, variables = _packages(), dict(os.environ)
    with _NoticedReads() as noticed:
        _import(sys.argv[2:])
    with socket.socket(fileno=int(sys.argv[1])) as control:
        _serve(control)
    if not (line := sys.stdin.readline()):
        return
    task = Task.read(line)
    wanted = task.environment or {}
    # What the imports have set would be set in a fresh process, too.
    differ = {name for name, _ in variables.items() ^ wanted.items() if os.environ.get(name) != wanted.get(name)}
    os.chdir(task.directory)
    if _packages() != packages or any(name in noticed for name in differ):
        os.execve(sys.executable, [*_FRESH, *task.arguments], wanted)  # noqa: S606 - with open pipes, and no shell
    for name in differ:
        os.environ.pop(name, None)
        os.environ.update({name: wanted[name]} if name in wanted else {})
    _forget_the_parent()
    process_program.run(task.arguments)


def _import(modules: Sequence[str]) -> None:
    # What is imported stays, and shared: the garbage collector would write to it.
    gc.disable()
    process_program.import_zenml()
    from pydantic import BaseModel

    from lightning_zenml.orchestrator.steps.entrypoint import enter

    for module in modules:
        try:
            if not module.startswith("zenml."):
                # As in a step, user's code can't stand in the way of what ZenML imports.
                enter()
            importlib.import_module(module)
        except Exception as error:
            print(f"`{module}` isn't imported ahead of the steps: {type(error).__name__}: {error}", flush=True)
    for model in _models(BaseModel):
        if not model.__pydantic_complete__:
            # Pydantic puts this off until a model is used.
            model.model_rebuild(raise_errors=False)
    gc.freeze()
    gc.enable()


def _models(kind: type[BaseModel]) -> set[type[BaseModel]]:
    """All models below one."""
    below = kind.__subclasses__()
    return set(below).union(*map(_models, below))


def _serve(control: socket.socket) -> None:
    """Makes copies until the controller has ended; returns in the copies alone."""
    control.set_inheritable(False)
    hindrance = _hindrance()
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not descriptors:
            sys.exit()
        if hindrance:
            control.send(hindrance.encode())
            sys.exit()
        stdin, stdout = descriptors
        pid = _fork_orphan()
        if not pid:
            for number, descriptor in enumerate((stdin, stdout, stdout)):
                os.dup2(descriptor, number)
        os.close(stdin)
        os.close(stdout)
        if not pid:
            return
        control.send(str(pid).encode())


def _hindrance() -> str:
    """Why this process can't be copied; '' if it can."""
    # Threads that know of forks, such as numpy's, end with the first.
    if not (pid := _fork()):
        os._exit(0)
    os.waitpid(pid, 0)
    threads = [Path(thread, "comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()]
    if len(threads) > 1:
        return f"its imports have started threads: {', '.join(threads)}"
    files = {os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()}
    accelerators = sorted(file for file in files if file.startswith(_ACCELERATORS))
    return f"its imports have opened {', '.join(accelerators)}" if accelerators else ""


def _fork_orphan() -> int:
    """Forks a process whose parent is gone: whoever adopts it is told how it ends. Returns its id; 0 in itself."""
    reading, writing = os.pipe()
    if not (between := _fork()):
        if pid := _fork():
            # A signal meant for a step must reach its children, and no other step.
            os.setpgid(pid, pid)
            os.write(writing, str(pid).encode())
            os._exit(0)
        os.close(reading)
        os.close(writing)
        return 0
    os.waitpid(between, 0)
    pid = int(os.read(reading, 20))
    os.close(reading)
    os.close(writing)
    return pid


def _fork() -> int:
    with warnings.catch_warnings():
        # Python, from 3.12 on, takes threads amiss that end with the fork, too.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _forget_the_parent() -> None:
    """Undoes what a copy has of the parent's and a fresh process hasn't; `random` does so by itself."""
    importlib.invalidate_caches()
    if numbers := sys.modules.get("numpy.random"):
        numbers.seed()


def _packages() -> dict[str, int]:
    """The folders of installed packages, and when they last changed."""
    folders = [Path(path) for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return {str(folder): folder.stat().st_mtime_ns for folder in folders if folder.is_dir()}


class _NoticedReads:
    """Notices which variables are read meanwhile: what is imported may have settled on their values."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._kind = type(os.environ)

    def __contains__(self, name: str) -> bool:
        """Whether a variable may have been read."""
        return name in self._names or name.startswith(_READ_BY_NATIVE_CODE)

    def __enter__(self) -> _NoticedReads:
        names, copied = self._names, [(0, 0)]

        class Noticing(os._Environ[str]):
            def keys(self) -> KeysView[str]:
                # `dict(os.environ)` asks for them, and for each value, all in one place of the program.
                copied[0] = _place(sys._getframe(1))
                return super().keys()

            def __getitem__(self, name: str) -> str:
                reader = sys._getframe(1)
                reads_all = (
                    reader.f_back if reader.f_code in _VIEWS else reader if _place(reader) == copied[0] else None
                )
                if not (name.startswith(_READ_ONE_BY_ONE) and reads_all and not _is_of_zenml(reads_all)):
                    names.add(name)
                return super().__getitem__(name)

        os.environ.__class__ = Noticing
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.environ.__class__ = self._kind


def _place(reader: FrameType) -> tuple[int, int]:
    """Where a program is."""
    return id(reader), reader.f_lasti


def _is_of_zenml(reader: FrameType) -> bool:
    return str(reader.f_globals.get("__name__")).startswith("zenml")


if __name__ == "__main__":
    main()
