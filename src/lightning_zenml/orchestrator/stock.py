"""Makes ZenML's stock flavor `lightning` resolve to ours.

Every ZenML server has a flavor `lightning` already and refuses a second one, so `--flavor=lightning` and the
documented import of `LightningOrchestratorSettings` always lead to ZenML's module. A hook gives that module our
classes when it is imported. `lightning_zenml.pth` activates it at every start of the interpreter, so this module
imports next to nothing (`wrapt`, which has such hooks ready, takes 30 ms) and never raises. With a ZenML that lacks
what we rely on, the flavor runs nothing. The variable `LIGHTNING_ZENML_STOCK`, set to anything, turns it off.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from lightning_zenml.launch.payload.variables import STOCK

STOCK_MODULE = "zenml.integrations.lightning.flavors.lightning_orchestrator_flavor"


def activate() -> None:
    """Registers the import hook, once; does nothing when it's turned off."""
    if STOCK not in os.environ and _StockFinder not in sys.meta_path:
        sys.meta_path.insert(0, _StockFinder)


class _StockFinder:
    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != STOCK_MODULE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_overlay(module: ModuleType) -> None:
                execute(module)
                _overlay(module)

            spec.loader.exec_module = execute_and_overlay  # type: ignore[method-assign]
        return spec


def _overlay(stock: ModuleType) -> None:
    try:
        from lightning_zenml.orchestrator import zenml_internals

        # What is wrong with a version that is known to do is told when a pipeline is about to run: looking costs time.
        unsuitable = zenml_internals.problem() if zenml_internals.notice() else None
        if unsuitable:
            _refuse(stock, unsuitable)

        from lightning_zenml.orchestrator.flavor import LightningOrchestratorConfig, LightningOrchestratorFlavor
        from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings

        # The flavor's class stays: the server's database names it, and it must load without our package, too.
        stock_flavor = stock.LightningOrchestratorFlavor
        names = ("config_class", "implementation_class", "docs_url", "sdk_docs_url")
        for name in names if not unsuitable else ("config_class",):
            setattr(stock_flavor, name, vars(LightningOrchestratorFlavor)[name])
        for ours in (LightningOrchestratorSettings, LightningOrchestratorConfig):
            setattr(stock, ours.__name__, ours)
    except Exception as error:
        _warn(repr(error))


def _refuse(stock: ModuleType, reason: str) -> None:
    """Has no pipeline run, not on ZenML's own orchestrator either: that might start another studio, from ours."""
    from lightning_zenml.orchestrator.refusal import refuse, tell

    stock.LightningOrchestratorFlavor.implementation_class = property(lambda flavor: refuse(reason))
    tell(reason)


def _warn(reason: str) -> None:
    import warnings

    warnings.warn(
        f"lightning-zenml can't replace ZenML's own Lightning orchestrator, which stays in use: {reason}. Install "
        f"versions that go together, or set {STOCK}=1 to use ZenML's own.",
        RuntimeWarning,
        stacklevel=2,
    )
