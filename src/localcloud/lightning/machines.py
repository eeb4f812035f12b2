"""The clouds and the machines that each of them sells.

Names and slugs are those of `lightning_sdk.Machine`; prices, in US dollars per hour, are Lightning's of 2026-07-30 for
one GPU. Where a cloud's own price was not published another cloud's stands in; spot machines cost 40 percent where
there are any; CPU machines cost in proportion to their cores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .knobs import Knobs
from .server import ApiError, Call, Route


@dataclass(frozen=True)
class Machine:
    """A machine type.

    Args:
        name: lightning-sdk's constant: `CPU`, `T4_X_4`.
        slug: lightning-sdk's slug, the name on the wire: `cpu-4`, `lit-t4-4`.
        family: as the SDK compares it: `CPU`, `DATA-PREP`, `T4`.
        cpus: number of cores.
        gpus: number of GPUs.
    """

    name: str
    slug: str
    family: str
    cpus: int
    gpus: int = 0


@dataclass(frozen=True)
class Offer:
    """A machine as one cloud sells it.

    Args:
        machine: what is sold.
        slug: the catalog's own name, which may differ from the SDK's (`lit-h100-80gb-1` for `lit-h100-1`).
        price: US dollars per hour.
    """

    machine: Machine
    slug: str
    price: float

    @property
    def spot_price(self) -> float:
        """US dollars per hour of an interruptible one."""
        return round(self.price * 0.4, 4)


@dataclass(frozen=True)
class Cluster:
    """A cloud account.

    Args:
        id: as in `Studio(cloud=...)`.
        provider: as in `cloudProvider=`: AWS, GCP, MACHINE.
        spec: the field of the cluster's specification from which the SDK learns the provider.
        offers: what it sells.
    """

    id: str
    provider: str
    spec: str
    offers: tuple[Offer, ...] = field(repr=False)

    def find(self, name: str) -> Offer | None:
        """The offer for a machine by any of the names that the SDK may send; None: not sold here."""
        for offer in self.offers:
            if name in (offer.slug, offer.machine.slug, self.instance_id(offer)):
                return offer
        return None

    def instance_id(self, offer: Offer) -> str:
        """The cloud's name of a machine."""
        return f"{self.provider.lower()}.{offer.slug}"

    def view(self) -> dict[str, Any]:
        """A V1ExternalCluster."""
        spec = {"clusterType": "CLUSTER_TYPE_GLOBAL", "driver": self.provider, self.spec: {}}
        return {"id": self.id, "name": self.id, "createdAt": "2024-01-01T00:00:00Z", "spec": spec}


def cluster(name: str) -> Cluster:
    """The cloud account with this id.

    Raises:
        ApiError: 400, in the platform's words.
    """
    for candidate in CLUSTERS:
        if candidate.id == name:
            return candidate
    raise ApiError(3, f"clusterID {name} is invalid")


def routes(knobs: Knobs) -> list[Route]:
    """Clusters and their catalogs."""

    def list_clusters(call: Call) -> Any:
        return {"clusters": [cloud.view() for cloud in CLUSTERS]}

    def get_cluster(call: Call) -> Any:
        return cluster(call.params["id"]).view()

    def bindings(call: Call) -> Any:
        fields = {"projectId": call.params["projectId"], "createdAt": "2024-01-01T00:00:00Z", "isClusterHealthy": True}
        return {"clusters": [{"clusterId": cloud.id, "clusterName": cloud.id, **fields} for cloud in CLUSTERS]}

    def default_accelerators(call: Call) -> Any:
        provider = call.query.get("cloudProvider")
        # Unknown providers get the list of AWS, as from the platform.
        cloud = next((cloud for cloud in CLUSTERS if cloud.provider == provider), CLUSTERS[0])
        return {"accelerator": [accelerator(cloud, offer, knobs) for offer in cloud.offers]}

    def cluster_accelerators(call: Call) -> Any:
        cloud = cluster(call.params["id"])
        return {"accelerator": [accelerator(cloud, offer, knobs) for offer in cloud.offers]}

    return [
        Route("GET", "/v1/projects/{projectId}/clusters", list_clusters, answer="V1ListProjectClustersResponse"),
        Route(
            "GET",
            "/v1/core/clusters",
            list_clusters,
            query=("orgId", "projectId", "includeConfiguringState"),
            answer="V1ListClustersResponse",
        ),
        Route("GET", "/v1/core/clusters/{id}", get_cluster, query=("orgId", "projectId", "authToken")),
        Route(
            "GET",
            "/v1/projects/{projectId}/projectclustersbindings",
            bindings,
            answer="V1ListProjectClusterBindingsResponse",
        ),
        Route(
            "GET",
            "/v1/core/accelerators",
            default_accelerators,
            query=("cloudProvider", "projectId"),
            answer="V1ListDefaultClusterAcceleratorsResponse",
            public=True,
        ),
        Route(
            "GET",
            "/v1/core/clusters/{id}/accelerators",
            cluster_accelerators,
            query=("enabledOnly", "region", "orgId"),
            answer="V1ListClusterAcceleratorsResponse",
        ),
    ]


def accelerator(cloud: Cluster, offer: Offer, knobs: Knobs) -> dict[str, Any]:
    """A V1ClusterAccelerator."""
    machine = offer.machine
    full = machine.name in knobs.out_of_capacity
    return {
        "acceleratorType": "GPU" if machine.gpus else "CPU",
        "availableInSeconds": "1000000" if full else "60",
        "availableInSecondsSpot": "1000000" if full else "60",
        "clusterId": cloud.id,
        "cost": offer.price,
        "displayName": machine.name,
        "enabled": True,
        "family": machine.family,
        "instanceId": cloud.instance_id(offer),
        "outOfCapacity": full,
        "provider": cloud.provider,
        "resources": {"cpu": machine.cpus, "gpu": machine.gpus},
        "secondaryInstanceId": "",
        "slug": offer.slug,
        "slugMultiCloud": machine.slug,
        "spotPrice": 0.0 if cloud.provider == "MACHINE" else offer.spot_price,
    }


_CPUS = (
    Machine("CPU_SMALL", "cpu-2", "CPU", 2),
    Machine("CPU", "cpu-4", "CPU", 4),
    Machine("CPU_X_8", "cpu-8", "CPU", 8),
    Machine("CPU_X_16", "cpu-16", "CPU", 16),
    Machine("DATA_PREP", "data-prep-mid", "DATA-PREP", 32),
    Machine("DATA_PREP_MAX", "data-prep-max-large", "DATA-PREP", 64),
    Machine("DATA_PREP_ULTRA", "data-prep-ultra-extra-large", "DATA-PREP", 96),
)
_T4_SMALL = Machine("T4_SMALL", "lit-t4-1-small", "T4", cpus=4, gpus=1)
# name -> (slug without count, family, counts, the memory that some catalogs put into the slug)
_GPUS: dict[str, tuple[str, str, tuple[int, ...], str]] = {
    "T4": ("lit-t4", "T4", (1, 2, 4, 8), ""),
    "L4": ("lit-l4", "L4", (1, 2, 4, 8), ""),
    "A10G": ("lit-a10g", "A10G", (1, 4), ""),
    "L40S": ("lit-l40s", "L40S", (1, 2, 4, 8), ""),
    "RTXP_6000": ("lit-rtx-6000-pro", "RTX PRO", (1, 2, 4, 8), ""),
    "A100": ("lit-a100", "A100", (1, 2, 4, 8), "-80gb"),
    "H100": ("lit-h100", "H100", (1, 2, 4, 8), "-80gb"),
    "H200": ("lit-h200", "H200", (1, 2, 4, 8), "-141gb"),
    "B200": ("lit-b200", "B200", (1, 8), "-180gb"),
}


def _offers(core_price: float, gpu_prices: dict[str, float]) -> tuple[Offer, ...]:
    offers = [Offer(machine, machine.slug, round(machine.cpus * core_price, 4)) for machine in _CPUS]
    for name, price in gpu_prices.items():
        slug, family, counts, memory = _GPUS[name]
        for count in counts:
            full_name = name if count == 1 else f"{name}_X_{count}"
            machine = Machine(full_name, f"{slug}-{count}", family, cpus=8 * count, gpus=count)
            offers.append(Offer(machine, f"{slug}{memory}-{count}", round(price * count, 4)))
    if "T4" in gpu_prices:
        offers.append(Offer(_T4_SMALL, _T4_SMALL.slug, round(gpu_prices["T4"] * 0.7, 4)))
    return tuple(offers)


CLUSTERS = (
    Cluster(
        "lightning-public-prod",
        "AWS",
        "awsV1",
        _offers(0.11, {"T4": 0.98, "A10G": 1.25, "L4": 1.58, "L40S": 2.89, "A100": 5.68, "H100": 12.34, "H200": 6.53}),
    ),
    Cluster(
        "gcp-lightning-public-prod",
        "GCP",
        "googleCloudV1",
        _offers(0.0825, {"T4": 0.43, "L4": 0.48, "A100": 5.68, "H100": 12.34, "H200": 6.53, "B200": 9.86}),
    ),
    Cluster(
        "lightning-baremetal",
        "MACHINE",
        "machineV1",
        _offers(0.1, {"RTXP_6000": 4.64, "H100": 4.50, "H200": 6.53, "B200": 9.86}),
    ),
)
