"""Keeps a studio awake and leased while a launch is made ready; from its start on, the payload does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload.lightning.heartbeat import Heartbeat
from lightning_zenml.launch.studio.hold import Hold
from lightning_zenml.launch.studio.remote import Remote


@contextmanager
def kept_alive(lightning: Lightning, hold: Callable[[], Hold | None], period: float) -> Iterator[None]:
    """A context in which a thread renews, every so often, what is held at that moment.

    Args:
        lightning: teamspace of the studio.
        hold: gives what is held; None: nothing yet.
        period: seconds between two signs of life.
    """

    def keep_awake() -> None:
        if held := hold():
            _studio(lightning, held).keep_alive()

    def renew_lease() -> None:
        if (held := hold()) and held.leased:
            remote = Remote(_studio(lightning, held), held.python, held.wheel, held.launch_id)
            remote.renew(timeout=30)

    # The next beat makes up for one that fails, and the launch itself meets what is wrong.
    heartbeat = Heartbeat(period, [keep_awake, renew_lease], warn=lambda text: None)
    heartbeat.start()
    try:
        yield
    finally:
        heartbeat.end()


def _studio(lightning: Lightning, hold: Hold) -> Studio:
    return Studio(lightning, id=hold.studio_id, name=hold.studio_name, cluster=hold.cluster)
