"""Where a step runs: in the studio, or as a Lightning job on machines of its own.

A step has machines of its own when its `machine_type` is another than the pipeline's, when it asks for several
machines, or when no machine is named and its `ResourceSettings` ask for more than the studio's machine holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from zenml.config import ResourceSettings
from zenml.exceptions import SettingsResolvingError

from lightning_zenml.codes import Code, marked
from lightning_zenml.launch.errors import MachineError
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings

if TYPE_CHECKING:
    from zenml.config.step_configurations import Step

    from lightning_zenml.launch.lightning.machines import Catalog, Machine


@dataclass(frozen=True, kw_only=True)
class OwnMachines:
    """Machines that a step has to itself.

    Args:
        kinds: kinds of machine in order of preference; the step has one of them.
        count: number of machines, all of the same kind.
    """

    kinds: tuple[Machine, ...]
    count: int = 1


class Placement:
    """Places the steps of one run.

    Args:
        pipeline: settings of the pipeline.
        studio_machine: name of the studio's machine, that it has or will have; '': not known.
        catalog: makes the catalog of machines; asked only when a step may want another machine than the studio's.
    """

    def __init__(
        self, pipeline: LightningOrchestratorSettings, studio_machine: str, catalog: Callable[[], Catalog]
    ) -> None:
        self._pipeline = pipeline
        self._studio_machine = studio_machine
        self._make_catalog = catalog

    def place(self, settings: LightningOrchestratorSettings, resources: ResourceSettings) -> OwnMachines | None:
        """Finds the place of a step.

        Args:
            settings: settings of the step.
            resources: resources that the step asks for.

        Returns:
            Its machines; None: it runs in the studio.

        Raises:
            MachineError: if a machine is unknown or can't be had.
        """
        names_one = _names(settings) != _names(self._pipeline)
        asks_for_resources = not settings.machines and not resources.empty
        if not names_one and not asks_for_resources and settings.num_machines == 1:
            return None
        kinds = self._resources(resources) if asks_for_resources else self._named(settings, own=names_one)
        if not kinds and settings.num_machines > 1:
            kinds = [self._catalog.machine(self._studio_machine)]
        if not kinds or (settings.num_machines == 1 and self._is_the_studios(kinds[0])):
            return None
        return OwnMachines(kinds=tuple(kinds), count=settings.num_machines)

    def check(self, steps: Mapping[str, tuple[LightningOrchestratorSettings, ResourceSettings]]) -> list[str]:
        """Checks that every step has a place.

        Args:
            steps: settings and resources of each step, by its name.

        Returns:
            Names of the steps that have machines of their own.

        Raises:
            SettingsResolvingError: if steps have no place; names all of them.
        """
        own, problems = [], []
        for name, (settings, resources) in steps.items():
            try:
                if self.place(settings, resources) is not None:
                    own.append(name)
            except MachineError as error:
                problems.append(f"step `{name}`: {error}")
        if problems:
            told = f"Not every step can have its machine. {' '.join(problems)}"
            raise SettingsResolvingError(marked(told, Code.MACHINE))
        return own

    def _is_the_studios(self, machine: Machine) -> bool:
        # lightning-sdk has several names for some machines: what counts is what Lightning is asked for.
        if not self._studio_machine:
            return False
        try:
            return self._catalog.machine(self._studio_machine).compute_name == machine.compute_name
        except MachineError:
            # The studio stands on what the catalog doesn't name.
            return machine.name == self._studio_machine

    def _named(self, settings: LightningOrchestratorSettings, *, own: bool) -> list[Machine]:
        like_studio = (self._studio_machine,) if self._studio_machine else ()
        return self._catalog.candidates(settings.machines if own else like_studio)

    def _resources(self, resources: ResourceSettings) -> list[Machine]:
        """The cheapest machine that holds them; none where the studio's does."""
        wanted = {
            "cpus": resources.cpu_count,
            "gpus": resources.gpu_count,
            "memory": resources.get_memory("MB"),
        }
        if self._studio_machine and self._catalog.holds(self._studio_machine, **wanted):
            return []
        return [self._catalog.cheapest(**wanted)]

    @cached_property
    def _catalog(self) -> Catalog:
        return self._make_catalog()


def resources_of(step: Step) -> ResourceSettings:
    """What a step asks of the machine that it runs on: of a step operator's it asks the step operator."""
    return ResourceSettings() if step.config.step_operator else step.config.resource_settings


def _names(settings: LightningOrchestratorSettings) -> list[str]:
    return [machine.lower() for machine in settings.machines]
