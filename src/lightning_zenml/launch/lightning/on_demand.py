"""Imports the SDK's generated classes when they are used.

Its packages of generated code import all of their 1,300 modules, one class each, of which we use some thirty: nearly
half of the time until the Action's first request. A hook has these packages look up a class when it is asked for
(PEP 562). Whatever else they hold is executed as it stands, and where that fails, they are imported as they are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_GENERATED = "lightning_sdk.lightning_cloud.openapi"
_PACKAGES = frozenset({_GENERATED, f"{_GENERATED}.api", f"{_GENERATED}.models"})
_CLASS = re.compile(rf"^from ({re.escape(_GENERATED)}[.]\S+) import (\w+)$", re.MULTILINE)


def activate() -> None:
    """Registers the import hook, once. What is imported already stays as it is."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


class _Finder:
    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _PACKAGES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(loader := spec.loader, InspectLoader):
            execute, source = loader.exec_module, loader.get_source(name) or ""

            def execute_on_demand(module: ModuleType) -> None:
                try:
                    _execute(module, source)
                except Exception:
                    vars(module).pop("__getattr__", None)
                    execute(module)

            loader.exec_module = execute_on_demand  # type: ignore[method-assign]
        return spec


def _execute(module: ModuleType, source: str) -> None:
    homes = {name: home for home, name in _CLASS.findall(source)}

    def look_up(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(module, name, value)
        return value

    vars(module)["__getattr__"] = look_up
    exec(compile(_CLASS.sub("", source), module.__file__ or "", "exec"), vars(module))  # noqa: S102 - the SDK's own code
    vars(module).setdefault("__all__", sorted(homes))
