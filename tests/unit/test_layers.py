"""The house: which of its rooms may open into which, and how large one of them may be."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
PRODUCT = "lightning_zenml"
STAND_INS = "localcloud"

MODULES_OF_A_FOLDER = 14
LINES_OF_A_MODULE = 350

ARROWS = {
    "codes": set(),
    "package": {"deadline", "codes"},
    "http_log": set(),
    "http_session": set(),
    "deadline": set(),
    "terminal": set(),
    "launch": {"codes", "package", "http_log", "http_session", "deadline"},
    # Its one module for the studio asks ZenML as the payload asks Lightning.
    "zenml_api": {"codes", "http_log", "http_session", "deadline", "launch.payload"},
    "settings": {"launch"},
    "orchestrator": {
        "codes",
        "launch",
        "package",
        "zenml_api",
        "settings",
        "http_log",
        "http_session",
        "deadline",
        "terminal",
    },
    "action": {
        "codes",
        "launch",
        "package",
        "zenml_api",
        "settings",
        "http_log",
        "http_session",
        "deadline",
        "terminal",
    },
    # It checks a workflow as the Action would read it.
    "cli": {
        "codes",
        "action",
        "launch",
        "package",
        "zenml_api",
        "settings",
        "http_log",
        "http_session",
        "deadline",
        "terminal",
    },
}
"""What each room of the product may import besides itself, its parent's version aside."""

ON_THE_STUDIO = {
    "launch.payload": {"launch.payload", "codes"},
    "zenml_api.run_end": {"launch.payload", "codes"},
    "zenml_api.run_watch": {"launch.payload", "zenml_api.run_end", "codes"},
}
"""What runs before anything is installed: the standard library, and these."""


@dataclass(frozen=True)
class Import:
    """One name that a module imports.

    Args:
        name: the module in full; that of the source tree where one of ours is meant.
        at_once: whether it is imported with the module, not by a function later or for the type checker alone.
    """

    name: str
    at_once: bool


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def of_product() -> dict[str, Path]:
    """The product's modules, by their names without the first part."""
    return {name.partition(".")[2]: path for name, path in modules().items() if name.startswith(f"{PRODUCT}.")}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> list[Import]:
    """All that a module imports, in functions too."""
    return list(_imports(tree(path), path, at_once=True))


def _imports(node: ast.AST, path: Path, *, at_once: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, at_once) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = _base(child, path)
            for alias in child.names:
                inner = f"{base}.{alias.name}"
                yield Import(inner if inner in modules() else base, at_once)
        elif isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            yield from _imports(ast.Module(child.body, []), path, at_once=False)
            yield from _imports(ast.Module(child.orelse, []), path, at_once=at_once)
        else:
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, path, at_once=at_once and not later)


def _base(node: ast.ImportFrom, path: Path) -> str:
    """The module that `from ... import` names, also where it is a relative one."""
    folder = path.relative_to(SOURCE).parts[:-1]
    above = folder[: len(folder) - node.level + 1] if node.level else ()
    return ".".join([*above, *([node.module] if node.module else [])])


def ours(path: Path) -> set[str]:
    """What a module imports of the product, without the first part; the product's own `__init__` is left out."""
    return {one.name.partition(".")[2] for one in imports(path) if one.name.startswith(f"{PRODUCT}.")}


def foreign(path: Path) -> set[str]:
    """The first parts of what a module imports that neither Python nor the product brings."""
    return {one.name.partition(".")[0] for one in imports(path)} - sys.stdlib_module_names - {PRODUCT}


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def test_rooms_open_only_downwards() -> None:
    wrong = {
        f"{name} imports {other}"
        for name, path in of_product().items()
        for other in ours(path)
        if not any(within(other, room) for room in ARROWS[name.partition(".")[0]] | {name.partition(".")[0]})
    }
    assert wrong == set()


def test_action_and_orchestrator_never_meet() -> None:
    assert "orchestrator" not in ARROWS["action"]
    assert "action" not in ARROWS["orchestrator"]
    assert "orchestrator" not in ARROWS["cli"]
    assert not any("cli" in arrows for arrows in ARROWS.values())
    below = [arrows for room, arrows in ARROWS.items() if room not in {"action", "orchestrator", "cli"}]
    assert not {"action", "orchestrator"} & set().union(*below)


def test_one_room_knows_the_sdk() -> None:
    users = {name for name, path in of_product().items() if "lightning_sdk" in foreign(path)}
    assert {name for name in users if not within(name, "launch.lightning")} == set()


def test_what_runs_on_the_bare_studio_needs_nothing_installed() -> None:
    for room, allowed in ON_THE_STUDIO.items():
        for name, path in of_product().items():
            if within(name, room):
                assert foreign(path) == set(), name
                assert {other for other in ours(path) if not any(within(other, one) for one in allowed)} == set(), name


def test_the_stand_ins_share_no_code_with_the_product() -> None:
    for name, path in modules().items():
        other = STAND_INS if within(name, PRODUCT) else PRODUCT
        assert {one.name for one in imports(path) if within(one.name, other)} == set(), name


def test_no_module_is_imported_by_what_it_imports() -> None:
    graph = {
        name: {wanted for one in imports(path) if one.at_once for wanted in _run_by(one.name, name)}
        for name, path in modules().items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def _run_by(imported: str, importer: str) -> set[str]:
    """The modules that one import runs: the packages around a module too, unless the importer lies in them."""
    parts = imported.split(".")
    chain = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return {name for name in chain & set(modules()) if not within(importer, name)}


def test_no_folder_is_crowded() -> None:
    sizes = Counter(path.parent for path in modules().values() if path.name != "__init__.py")
    crowded = {str(folder.relative_to(SOURCE)) for folder, size in sizes.items() if size > MODULES_OF_A_FOLDER}
    assert crowded == set()


def test_no_module_is_too_long_to_read() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in of_product().items()}
    assert {name for name, count in lines.items() if count > LINES_OF_A_MODULE} == set()


def test_every_module_says_what_it_is() -> None:
    assert {name for name, path in modules().items() if not ast.get_docstring(tree(path))} == set()


def test_modules_that_are_named_in_strings_exist() -> None:
    """`python -m` and ZenML's source paths: no type checker looks at them."""
    missing = {
        f"{name}: {node.value}"
        for name, path in modules().items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(f"{PRODUCT}.")
        and all(part.isidentifier() for part in node.value.split("."))
        # A class of a module is named as well as the module.
        and not {node.value, node.value.rpartition(".")[0]} & set(modules())
    }
    assert missing == set()
