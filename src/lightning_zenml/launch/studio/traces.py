"""What launches have left on a studio that runs: which there were, whether one goes on, what was to become of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeVar

from lightning_zenml.launch.errors import StudioError
from lightning_zenml.launch.lightning.records import Completed
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.lease import Lease, in_force
from lightning_zenml.launch.payload.protocol import Description, Status
from lightning_zenml.launch.payload.records import Record, RecordError
from lightning_zenml.launch.studio.waits import facts

R = TypeVar("R", bound=Record)

_LOOK = f"""boot=$(cat /proc/sys/kernel/random/boot_id)
started() {{ sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }}
lives() {{ test "$2" && test "$2" = "$boot/$(started "$1")"; }}
sessions() {{ cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | grep -v '^[ZX]' | cut -d ' ' -f 4; }}
echo "now $(date +%s)"
echo "machine $boot/$(started 1)"
cd "$HOME/{layout.HOME}" 2>/dev/null || exit 0
echo "lease $(cat {layout.LEASE} 2>/dev/null)"
for launch in {layout.LAUNCHES}/*/; do
test -d "$launch" || continue
echo "launch $(basename "$launch")"
echo "touched $(stat -c %Y "$launch")"
echo "description $(cat "$launch/{layout.DESCRIPTION}" 2>/dev/null)"
echo "status $(cat "$launch/{layout.STATUS}" 2>/dev/null)"
attended=no
lives $(cat "$launch/{layout.GUARDIAN}" 2>/dev/null) && attended=yes
lives "$(cat "$launch/{layout.PID}" 2>/dev/null)" "$(cat "$launch/{layout.IDENTITY}" 2>/dev/null)" && attended=yes
echo "attended $attended"
session=$(cat "$launch/{layout.SESSION}" 2>/dev/null)
test "$session" && sessions | grep -qx "$session" && echo "runs yes" || echo "runs no"
done
exit 0"""
"""Bash that tells of all launches of a studio, six lines each; see `launch.payload.process.identity`."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What is left of one launch.

    Args:
        launch_id: id of the launch.
        touched: when something was last made or removed in its folder, seconds since 1970.
        description: what another client must know of it; None for one that has not begun, or of another version.
        status: how far it is; None before that is recorded.
        is_attended: whether its guardian or supervisor lives: one of them looks after it.
        still_runs: whether something of its commands does.
    """

    launch_id: str
    touched: float
    description: Description | None
    status: Status | None
    is_attended: bool
    still_runs: bool


@dataclass(frozen=True, kw_only=True)
class Traces:
    """What launches have left on a studio.

    Args:
        launches: the launches, the one that was touched last at the end.
        lease: the studio's lease; None where there is none.
        is_leased: whether the lease is in force.
        is_of_this_start: whether the lease was taken since the machine was last started.
        now: the studio's own time, seconds since 1970.
    """

    launches: tuple[Trace, ...]
    lease: Lease | None
    is_leased: bool
    is_of_this_start: bool
    now: float


def traces(studio: Studio) -> Traces:
    """Looks at a studio that runs. Nothing on it is changed.

    Args:
        studio: the studio.

    Raises:
        StudioError: if it does not run, or answers oddly.
    """
    answer = studio.run(_LOOK, timeout=60)
    try:
        (now,), (machine,) = facts(answer, "now"), facts(answer, "machine")
        lease = _read(Lease, next(iter(facts(answer, "lease")), ""))
        found = sorted(_traces(answer), key=lambda trace: trace.touched)
        return Traces(
            launches=tuple(found),
            lease=lease,
            is_leased=lease is not None and in_force(lease, now=float(now), machine=machine.strip()),
            is_of_this_start=lease is not None and lease.machine == machine.strip(),
            now=float(now),
        )
    except ValueError as error:
        raise StudioError(f"The studio '{studio.name}' answers oddly: {error}") from None


def _traces(answer: Completed) -> list[Trace]:
    told = (facts(answer, kind) for kind in ("launch", "touched", "description", "status", "attended", "runs"))
    return [
        Trace(
            launch_id=launch_id,
            touched=float(touched),
            description=_read(Description, description),
            status=_read(Status, status),
            is_attended=attended == "yes",
            still_runs=runs == "yes",
        )
        for launch_id, touched, description, status, attended, runs in zip(*told, strict=True)
    ]


def _read(kind: type[R], text: str) -> R | None:
    """A record; None where there is none, or another version has written it."""
    try:
        return kind.from_json(json.loads(text)) if text.strip() else None
    except (RecordError, ValueError):
        return None
