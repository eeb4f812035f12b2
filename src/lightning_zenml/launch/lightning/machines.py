"""Machine names -> what the platform starts. Never compares unknown SDK machines with `==`: they are all equal."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from lightning_sdk.machine import Machine as SdkMachine

from lightning_zenml.launch.errors import MachineError
from lightning_zenml.launch.lightning import answers
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.records import Accelerator

_SDK_MACHINES: dict[str, SdkMachine] = {
    name: machine for name, machine in vars(SdkMachine).items() if isinstance(machine, SdkMachine)
}
DEFAULT_MACHINE = "CPU"
_MOST_NAMED = 12


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine that a studio or job can run on.

    Args:
        name: lightning-sdk's name where it has one, else the provider's.
        compute_name: name by which the API is asked for it.
        aliases: every name under which the API may report this machine, in lower case.
        gpus: number of GPUs; 0 for a CPU machine.
        cost: US dollars per hour; None when the catalog doesn't say.
        spot_cost: the same for an interruptible one; None where there is none.
        out_of_capacity: whether the catalog says that none can be had now.
        family: kind of GPU or CPU; '' where the catalog doesn't have it.
        cpus: number of cores; 0 likewise.
        memory: memory in megabytes (10^6 bytes); 0 when the catalog doesn't tell.
    """

    name: str
    compute_name: str
    aliases: frozenset[str]
    gpus: int
    cost: float | None = None
    spot_cost: float | None = None
    out_of_capacity: bool = False
    family: str = ""
    cpus: float = 0.0
    memory: float = 0.0

    def price(self, *, interruptible: bool) -> float | None:
        """US dollars per hour; None when the catalog doesn't say.

        Args:
            interruptible: whether it is a spot machine, which may cost more than another; where the catalog has no
                price for one, it is taken to cost the same.
        """
        return (self.spot_cost if interruptible else None) or self.cost

    def is_reported_as(self, compute_name: str) -> bool:
        """Whether the API's name of a running machine means this one."""
        return compute_name.lower() in self.aliases


def doubts(names: Sequence[str]) -> list[str]:
    """What is to be said of names that lightning-sdk doesn't have; a cloud account may sell a machine of such a name.

    Args:
        names: names of machines.
    """
    told = []
    for name in names:
        wanted = name.strip()
        if wanted.lower() != "gpu" and not _sdk_machine(wanted):
            nearest = _nearest(wanted, sorted(_SDK_MACHINES))
            told.append(f"lightning-sdk knows no machine `{name}`.{f' Did you mean {nearest}?' if nearest else ''}")
    return told


class Catalog:
    """The machines of one cloud account.

    Args:
        lightning: teamspace that the machines are for.
        cluster: id of the cloud account; None: the teamspace's default.
        queues: whether a machine without capacity is waited for in line, as jobs do, rather than refused.
    """

    def __init__(self, lightning: Lightning, cluster: str | None, *, queues: bool = False) -> None:
        self._lightning = lightning
        self._queues = queues
        self._cluster = cluster or lightning.default_cluster

    def choose(self, names: Sequence[str]) -> Machine:
        """The first of `candidates`."""
        return self.candidates(names)[0]

    def machines(self) -> list[Machine]:
        """All that the account may have; none where the cloud account lists none."""
        return [_machine(accelerator, None) for accelerator in self._accelerators if not accelerator.is_restricted]

    def candidates(self, names: Sequence[str]) -> list[Machine]:
        """Those of `names` that are not out of capacity, one at least.

        Raises:
            MachineError: when a name is unknown or not sold by the cloud account, or none has capacity.
        """
        machines, problems = list[Machine](), list[str]()
        for name in names or (DEFAULT_MACHINE,):
            try:
                machines.append(self.machine(name))
            except MachineError as error:
                problems.append(str(error))
        if problems:
            raise MachineError(" ".join(problems))
        if candidates := [machine for machine in machines if not machine.out_of_capacity]:
            return candidates
        if self._queues:
            return machines
        raise MachineError(
            f"Out of capacity: {', '.join(machine.name for machine in machines)} on {self._cluster}. "
            "Try later, or name several machines in order of preference."
        )

    def machine(self, name: str) -> Machine:
        """Resolves one name: lightning-sdk's in any case, a slug, a provider's instance type, `cpu` or `gpu`.

        Args:
            name: name of the machine.

        Raises:
            MachineError: when the name is unknown, or not sold by the cloud account.
        """
        wanted = name.strip()
        if wanted.lower() == "gpu":
            return self._cheapest_gpu()
        sdk_machine = _sdk_machine(wanted)
        accelerator = self._accelerator(wanted, sdk_machine)
        if accelerator is not None:
            return _machine(accelerator, sdk_machine)
        if sdk_machine is None:
            raise MachineError(f"Unknown machine '{name}'. {self._suggestion(wanted)}")
        if sdk_machine.family != "CPU" and self._accelerators:
            # Started all the same, it would come up as a CPU machine without a word.
            raise MachineError(f"{self._cluster} does not sell the machine '{name}'. {self._suggestion(wanted)}")
        return Machine(
            name=sdk_machine.name,
            compute_name=sdk_machine.instance_type or sdk_machine.slug,
            aliases=_lower({sdk_machine.name, sdk_machine.slug, sdk_machine.instance_type}),
            gpus=0 if sdk_machine.family in ("CPU", "DATA-PREP") else sdk_machine.accelerator_count or 1,
        )

    def price(self, name: str, *, interruptible: bool) -> float | None:
        """US dollars per hour of a machine; None where the catalog doesn't say, or has none of that name.

        Args:
            name: name of the machine, as for `machine`.
            interruptible: whether it is a spot machine.
        """
        try:
            return self.machine(name).price(interruptible=interruptible)
        except MachineError:
            return None

    def cheapest(self, *, cpus: float | None = None, gpus: int | None = None, memory: float | None = None) -> Machine:
        """The cheapest machine with capacity that holds this much.

        Args:
            cpus: number of cores.
            gpus: number of GPUs.
            memory: memory in megabytes (10^6 bytes); a machine whose memory the catalog doesn't tell is taken to have
                enough.

        Raises:
            MachineError: when no machine with capacity holds this much.
        """
        holding = [
            accelerator
            for accelerator in self._available
            if _holds(accelerator, cpus=cpus or 0, gpus=gpus or 0, memory=memory or 0)
        ]
        if not holding:
            wanted = {"CPUs": cpus, "GPUs": gpus, "MB of memory": memory}
            asked = ", ".join(f"{amount:g} {unit}" for unit, amount in wanted.items() if amount) or "anything"
            raise MachineError(f"{self._cluster} has no machine with capacity now that holds {asked}.")
        return _machine(min(holding, key=_preference), None)

    def holds(
        self, name: str, *, cpus: float | None = None, gpus: int | None = None, memory: float | None = None
    ) -> bool:
        """Whether the catalog says that a machine holds this much, see `cheapest`.

        Args:
            name: name of the machine, as `Machine.name` has it.
            cpus: number of cores.
            gpus: number of GPUs.
            memory: memory in megabytes (10^6 bytes).
        """
        return any(
            name in (_machine(accelerator, None).name, accelerator.slug)
            and _holds(accelerator, cpus=cpus or 0, gpus=gpus or 0, memory=memory or 0)
            for accelerator in self._accelerators
        )

    @cached_property
    def _accelerators(self) -> list[Accelerator]:
        """The enabled accelerators; empty when the cloud account lists none."""
        return self._lightning.found(self._listed)

    def _listed(self) -> list[Accelerator]:
        client, ask = self._lightning.client, self._lightning.ask
        project = self._lightning.teamspace_id
        # The global cloud accounts first: most studios are on one, and each listing is a request.
        listings = (client.cluster_service_list_clusters, client.cluster_service_list_project_clusters)
        read = partial(answers.cloud_account, self._cluster)
        account = next(filter(None, (ask(read, listing, project_id=project) for listing in listings)), None)
        if account is None:
            return []
        if account.provider is not None:
            return ask(
                answers.accelerators,
                client.cluster_service_list_default_cluster_accelerators,
                project_id=project,
                cloud_provider=account.provider,
            )
        return ask(
            answers.accelerators,
            client.cluster_service_list_cluster_accelerators,
            id=account.id,
            org_id=self._lightning.organization_id,
        )

    def _accelerator(self, wanted: str, sdk_machine: SdkMachine | None) -> Accelerator | None:
        names = {wanted.lower()} | (_lower({sdk_machine.slug}) if sdk_machine else set())
        exact = [accelerator for accelerator in self._accelerators if names & accelerator.aliases]
        # The catalog's slugs differ from the SDK's, so family and count decide where no name fits; and it may sell what
        # the SDK has no name for (any more), such as `A10G`.
        kind = (sdk_machine.family, sdk_machine.accelerator_count) if sdk_machine else _kind(wanted)
        alike = [accelerator for accelerator in self._accelerators if (accelerator.family, accelerator.count) == kind]
        return next(iter([*exact, *alike]), None)

    def _cheapest_gpu(self) -> Machine:
        gpus = [accelerator for accelerator in self._available if accelerator.is_gpu]
        if not gpus:
            raise MachineError(f"{self._cluster} has no GPU with capacity now. {self._suggestion('gpu')}")
        return _machine(min(gpus, key=_preference), None)

    @property
    def _available(self) -> list[Accelerator]:
        """Those accelerators that this account can have now."""
        allowed = [accelerator for accelerator in self._accelerators if not accelerator.is_restricted]
        return [one for one in allowed if self._queues or not one.out_of_capacity]

    def _suggestion(self, wanted: str) -> str:
        sold = sorted({_machine(accelerator, None).name for accelerator in self._accelerators}) or sorted(_SDK_MACHINES)
        nearest = _nearest(wanted, sold)
        hint = f"Did you mean {nearest}? " if nearest else ""
        more = f" and {len(sold) - _MOST_NAMED} more" if len(sold) > _MOST_NAMED else ""
        return f"{hint}Machines here: {', '.join(sold[:_MOST_NAMED])}{more}; or cpu, gpu."


def _machine(accelerator: Accelerator, sdk_machine: SdkMachine | None) -> Machine:
    known = sdk_machine or accelerator.sdk_machine
    return Machine(
        name=known.name,
        compute_name=known.instance_type or known.slug,
        aliases=accelerator.aliases | _lower({known.name, known.slug, known.instance_type}),
        gpus=accelerator.gpus,
        cost=accelerator.cost,
        spot_cost=accelerator.spot_cost,
        out_of_capacity=accelerator.out_of_capacity,
        family=accelerator.family,
        cpus=accelerator.cpus,
        memory=accelerator.memory,
    )


def _kind(name: str) -> tuple[str, int]:
    """Family and number of what is named as the SDK names its machines: `A10G`, `A10G_X_4`."""
    family, counted, count = name.upper().replace("-", "_").partition("_X_")
    return family, int(count) if count.isdecimal() else int(not counted)


def _sdk_machine(wanted: str) -> SdkMachine | None:
    """The machine of that name in any case, or of that slug."""
    by_slug = (machine for machine in _SDK_MACHINES.values() if machine.slug == wanted.lower())
    return _SDK_MACHINES.get(wanted.upper().replace("-", "_")) or next(by_slug, None)


def _nearest(wanted: str, known: Sequence[str]) -> str:
    return " or ".join(difflib.get_close_matches(wanted.upper().replace("-", "_"), known, n=3, cutoff=0.5))


def _preference(accelerator: Accelerator) -> tuple[bool, float]:
    """What there is before what must be waited for, and the cheap before the dear."""
    return accelerator.out_of_capacity, accelerator.cost or float("inf")


def _holds(accelerator: Accelerator, *, cpus: float, gpus: int, memory: float) -> bool:
    return accelerator.cpus >= cpus and accelerator.gpus >= gpus and (accelerator.memory or float("inf")) >= memory


def _lower(names: set[str | None]) -> frozenset[str]:
    return frozenset(name.lower() for name in names if name)
