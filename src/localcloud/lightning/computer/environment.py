"""The Python environment of a studio: a template that is made once, and what each studio has of its own."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

INSIDE = "/home/zeus/miniconda3/envs/cloudspace"
"""Where a studio has its environment; the only one that it has."""

UV_CACHE_INSIDE = "/cache/uv"


def base_python() -> Path:
    """The Python below whatever virtual environment this process runs in."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))


def uv_cache(cache_dir: Path) -> Path:
    """The cache that uv shares between studios and runs."""
    folder = cache_dir / "uv"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def template(cache_dir: Path, more: tuple[str, ...] = ()) -> Path:
    """The environment of a new studio: pip, uv and this process's version of lightning-sdk, compiled.

    Made on first use, which takes some seconds and needs the package index; kept in `cache_dir`.

    Args:
        cache_dir: where it is kept.
        more: further requirements that are installed in it.

    Raises:
        RuntimeError: it could not be installed; with uv's words.
    """
    packages = ["pip", f"uv=={version('uv')}", f"lightning-sdk=={version('lightning-sdk')}", *more]
    key = hashlib.sha256("\n".join([sys.version, str(base_python()), INSIDE, *packages]).encode()).hexdigest()[:16]
    finished = cache_dir / f"environment-{key}"
    with _locked(cache_dir / "lock"):
        if not finished.exists():
            with tempfile.TemporaryDirectory(dir=cache_dir, prefix="environment.") as folder:
                made = Path(folder) / "made"
                _uv(cache_dir, "venv", "--python", str(base_python()), str(made))
                _uv(
                    cache_dir,
                    "pip",
                    "install",
                    "--compile-bytecode",
                    "--python",
                    str(made / "bin" / "python"),
                    *packages,
                )
                relocate(made, str(made), INSIDE)
                made.rename(finished)
    return finished


def copy(source: Path, target: Path) -> None:
    """Give a studio its own copy of the template, to be used where it lies."""
    shutil.copytree(source, target, symlinks=True)
    relocate(target, INSIDE, str(target))


def relocate(environment: Path, old: str, new: str) -> None:
    """Make the scripts of an environment name another path as its own."""
    for script in (environment / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        if b"\0" not in content and old.encode() in content:
            script.write_bytes(content.replace(old.encode(), new.encode()))


def _uv(cache_dir: Path, *arguments: str) -> None:
    environment = {**os.environ, "UV_CACHE_DIR": str(uv_cache(cache_dir)), "UV_LINK_MODE": "copy"}
    environment.pop("VIRTUAL_ENV", None)
    command = [sys.executable, "-m", "uv", "--quiet", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"the Python environment of the studios could not be made: {done.stderr.strip()}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
