"""Writes the locks that travel to studios, `src/lightning_zenml/launch/payload/locks`: `make lock`.

One for each minor version of ZenML that is tested and each of its usual artifact stores. They hold what Linux on x86-64
takes, and hashes instead of addresses: whoever installs has an index of their own.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from lightning_zenml.launch.payload.locks.lock import FOR
from lightning_zenml.zenml_api.versions import NEWEST_TESTED, OLDEST

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "src/lightning_zenml/launch/payload/locks"
INTEGRATIONS = ("", "s3", "gcp", "azure")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
REQUIREMENTS = """
import sys
from zenml.integrations.registry import integration_registry
print(*integration_registry.select_integration_requirements(sys.argv[1]), sep="\\n")
"""
HEADER = "# What Linux on x86-64 takes for ZenML {version} and what follows. Written by `make lock`.\n"


def main() -> None:
    """Writes all of them anew; what was there before is not asked."""
    uv = [str(Path(sys.executable).with_name("uv"))]
    for version in (OLDEST, NEWEST_TESTED):
        for integration in INTEGRATIONS:
            wanted = _requirements(uv, version, integration)
            locked = tomllib.loads(_compiled(uv, [f"zenml=={version}", *wanted]))
            minor = ".".join(version.split(".")[:2])
            lines = [f"{FOR}{requirement}" for requirement in wanted]
            lines += [line for package in locked["packages"] if (line := _line(package))]
            text = HEADER.format(version=version) + "\n".join([*lines, ""])
            (LOCKS / f"{minor}-{integration or 'plain'}.txt").write_text(text)


def _requirements(uv: list[str], version: str, integration: str) -> list[str]:
    """What that version of ZenML wants for an integration."""
    if not integration:
        return []
    python = ["run", "--quiet", "--isolated", "--no-project", "--with", f"zenml=={version}", "python"]
    return sorted(_run([*uv, *python, "-c", REQUIREMENTS, integration]).split())


def _compiled(uv: list[str], wanted: list[str]) -> str:
    """A pylock.toml of our own requirements and these."""
    command = ["pip", "compile", "--quiet", "--universal", "--python-version", PYTHONS[0], "--format", "pylock.toml"]
    return _run([*uv, *command, "pyproject.toml", "-"], "\n".join(wanted))


def _run(command: list[str], given: str = "") -> str:
    return subprocess.run(command, cwd=ROOT, input=given, stdout=subprocess.PIPE, text=True, check=True).stdout


def _line(package: dict[str, Any]) -> str:
    """A package as a line of a requirements file; '' where Linux takes none of it."""
    marker = package.get("marker", "")
    if marker and not any(_applies(marker, python) for python in PYTHONS):
        return ""
    # A package without a wheel for Linux is built.
    files = list(_wheels(package)) or [package["sdist"]]
    hashes = " ".join(f"--hash=sha256:{file['hashes']['sha256']}" for file in files)
    return f"{package['name']}=={package['version']}{f' ; {marker}' if marker else ''} {hashes}"


def _applies(marker: str, python: str) -> bool:
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}
    return Marker(marker).evaluate({**linux, "python_version": python, "python_full_version": f"{python}.0"})


def _wheels(package: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for wheel in package.get("wheels", []):
        tags = parse_wheel_filename(wheel["url"].rpartition("/")[2])[3]
        if any(_takes(tag.interpreter, tag.abi, tag.platform) for tag in tags):
            yield wheel


def _takes(interpreter: str, abi: str, platform: str) -> bool:
    fits = platform == "any" or (platform.startswith(("manylinux", "linux")) and platform.endswith("x86_64"))
    pythons = {f"cp{python.replace('.', '')}" for python in PYTHONS}
    if abi == "abi3":
        return fits and Version(f"3.{interpreter[3:]}") <= Version(PYTHONS[-1])
    return fits and (interpreter in {"py3", "py2", *pythons} and (abi == "none" or abi in pythons))


if __name__ == "__main__":
    main()
