"""Makes ZenML's stock flavor `lightning` resolve to ours.

Every ZenML server has a flavor `lightning` already and refuses a second one, so `--flavor=lightning` and the
documented import of `LightningOrchestratorSettings` always lead to ZenML's module. A hook gives that module our
classes when it is imported. `lightning_zenml.pth` activates it at every start of the interpreter, so this module
imports next to nothing (`wrapt`, which has such hooks ready, takes 30 ms) and never raises. With a ZenML that lacks
what we rely on, the flavor runs nothing. The variable `LIGHTNING_ZENML_STOCK`, set to anything, turns it off.

In the command of a launch, ZenML's client is patient from its first request on, which comes long before anything of
an orchestrator's is loaded, and there as on a runner ZenML's source root is that of the program's package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from lightning_zenml.launch.payload.variables import CALLER, LAUNCH_DIR, STOCK

STOCK_MODULE = "zenml.integrations.lightning.flavors.lightning_orchestrator_flavor"
CLIENT_MODULE = "zenml.zen_stores.rest_zen_store"
SOURCE_MODULE = "zenml.utils.source_utils"
_PATIENCE = "lightning_zenml.orchestrator.zenml_client.patience"


def activate() -> None:
    """Registers the import hook, once; does nothing when it's turned off."""
    if STOCK not in os.environ and _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


class _Finder:
    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        overlay = _overlay_of(name)
        if overlay is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_overlay(module: ModuleType) -> None:
                execute(module)
                overlay(module)

            spec.loader.exec_module = execute_and_overlay  # type: ignore[method-assign]
        return spec


def _overlay_of(name: str) -> Callable[[ModuleType], None] | None:
    if name == STOCK_MODULE:
        return _overlay_flavor
    if name == CLIENT_MODULE and LAUNCH_DIR in os.environ:
        return _overlay_client
    if name == SOURCE_MODULE and (LAUNCH_DIR in os.environ or CALLER in os.environ):
        return _overlay_source_root
    return None


def _overlay_source_root(source_utils: ModuleType) -> None:
    try:
        from lightning_zenml.orchestrator.zenml_client.source_root import take_that_of_packages

        take_that_of_packages(source_utils)
    except Exception as error:
        _warn(f"can't tell ZenML where the program's package is: {error!r}")


def _overlay_client(_: ModuleType) -> None:
    if _PATIENCE in sys.modules:
        # Whoever imports that has the client imported by it, and makes it patient.
        return
    try:
        from lightning_zenml.orchestrator.zenml_client.patience import be_patient

        be_patient()
    except Exception as error:
        _warn(f"can't make ZenML's client patient, which believes each answer of the server: {error!r}")


def _overlay_flavor(stock: ModuleType) -> None:
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
        _warn(f"can't replace ZenML's own Lightning orchestrator, which stays in use: {error!r}")


def _refuse(stock: ModuleType, reason: str) -> None:
    """Has no pipeline run, not on ZenML's own orchestrator either: that might start another studio, from ours."""
    from lightning_zenml.orchestrator.refusal import refuse, tell

    stock.LightningOrchestratorFlavor.implementation_class = property(lambda flavor: refuse(reason))
    tell(reason)


def _warn(what: str) -> None:
    import warnings

    warnings.warn(
        f"lightning-zenml {what}. Install versions that go together, or set {STOCK}=1 to use ZenML's own.",
        RuntimeWarning,
        stacklevel=2,
    )
