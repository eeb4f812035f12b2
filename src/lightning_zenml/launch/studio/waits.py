"""Waits for a studio: stopped, running, set up. Every wait has a bound.

How the platform behaves meanwhile is in docs/assumptions.md: running is not ready, `python` answers "still setting
things up" for a minute or two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lightning_zenml.launch.errors import LaunchError, MachineError, StudioError, StudioLostError
from lightning_zenml.launch.lightning.machines import Machine
from lightning_zenml.launch.lightning.records import Completed, StudioState
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.variables import SETUP_TIMEOUT, START_TIMEOUT
from lightning_zenml.launch.studio.progress import WaitProgress

_SETTING_UP = "setting things up"
_PROBE = f"""python -c 'import sys; print("python " + sys.executable)' \
&& (nvidia-smi -L 2>/dev/null | grep -c '^GPU' | sed 's/^/gpus /'; cd {layout.HOME} 2>/dev/null \
&& for file in {layout.ARCHIVES}/* {layout.WHEELS}/*/*; do test -f "$file" && printf 'file %s\\n' "$file"; done; \
true)"""
"""One command tells all that must be known of a ready studio."""
_PROBE_PATIENCE = 30.0
"""Seconds for one probe."""
_STOP_PATIENCE = 300.0
"""Seconds for a machine to stop."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long to wait, seconds.

    Args:
        start: for a machine.
        setup: for `python` to work on a running studio.
        switch: for another machine under a running studio.
        lost_switch: for a switch that the platform refused and may make all the same.
        packages: for `late_packages` of a launch, once its studio is ready.
        beat: between two signs of life of a launch that is made ready.
    """

    start: float = 1200
    setup: float = 420
    switch: float = 1200
    lost_switch: float = 90
    packages: float = 300
    beat: float = 60

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Limits:
        """The defaults, or what `LIGHTNING_ZENML_START_TIMEOUT` and `LIGHTNING_ZENML_SETUP_TIMEOUT` say.

        Raises:
            LaunchError: they say no number.
        """
        start = _seconds(environ, START_TIMEOUT, cls.start)
        return cls(start=start, switch=start, setup=_seconds(environ, SETUP_TIMEOUT, cls.setup))


class StudioWaits:
    """Waits, and tells in words for what.

    Args:
        limits: how long.
        say: told in words what goes on.
    """

    def __init__(self, limits: Limits, say: Callable[[str], None]) -> None:
        self.limits = limits
        self._say = say

    def until_stopped(self, studio: Studio) -> StudioState:
        """Waits for the end of a machine that is on its way out, so that the studio can be started again.

        Returns:
            Where the studio stands: somebody else may have started it since.

        Raises:
            StudioError: it does not end.
        """
        deadline = time.monotonic() + _STOP_PATIENCE
        while not (state := studio.state()).stopped and not state.running:
            if time.monotonic() > deadline:
                raise StudioError(f"The studio '{studio.name}' does not get stopped. Look at it on Lightning AI.")
            time.sleep(1)
        return state

    def until_running(self, studio: Studio, machine: Machine, *, before: StudioState) -> StudioState:
        """Waits for a machine; an end counts only for one that was not there `before` it was asked for.

        Raises:
            MachineError: none comes.
            StudioLostError: the studio was stopped meanwhile.
        """
        old = {instance.id for instance in before.instances if instance.ended}
        deadline, pause = time.monotonic() + self.limits.start, 0.3
        progress = WaitProgress(f"a machine ({machine.name}) for {studio.name}", self._say)
        while not (state := studio.state()).running:
            progress.go_on()
            ended = next((one for one in state.instances if one.ended and one.id not in old), None)
            if ended and state.stopped:
                reason = ended.message or ended.phase.lower()
                fault = MachineError if ended.phase == "FAILED" else StudioLostError
                raise fault(f"The studio '{studio.name}' did not come up on {machine.name}: {reason}.")
            if time.monotonic() > deadline:
                raise MachineError(
                    f"No {machine.name} for the studio '{studio.name}' within {self.limits.start:.0f} s; "
                    "there may be no capacity. Try later, or name several machines in order of preference."
                )
            time.sleep(pause)
            pause = min(pause * 1.3, 5)
        progress.end()
        return state

    def until_set_up(self, studio: Studio) -> Completed | None:
        """The probe of a studio whose Python works; None when it does not within the limit."""
        deadline, pause = time.monotonic() + self.limits.setup, 0.3
        progress = WaitProgress(f"the set-up of {studio.name}", self._say)
        while True:
            progress.go_on()
            probe = self._probe(studio)
            if probe is not None and probe.exit_code == 0 and _SETTING_UP not in probe.output:
                progress.end()
                return probe
            if time.monotonic() > deadline:
                return None
            time.sleep(pause)
            pause = min(pause * 1.3, 5)

    @staticmethod
    def _probe(studio: Studio) -> Completed | None:
        """None where the studio refuses the command, as it may just after its machine is up, or does not end it."""
        try:
            return studio.run(_PROBE, timeout=_PROBE_PATIENCE)
        except StudioLostError:
            raise
        except StudioError:
            return None


def facts(probe: Completed, kind: str) -> list[str]:
    """What a probe tells of a kind: `python` (its path), `gpus` (their number), `file` (archives and wheels)."""
    return [line.removeprefix(f"{kind} ") for line in probe.output.splitlines() if line.startswith(f"{kind} ")]


def _seconds(environ: Mapping[str, str], name: str, otherwise: float) -> float:
    try:
        return float(environ.get(name) or otherwise)
    except ValueError:
        raise LaunchError(f"{name} is '{environ[name]}': a number of seconds is wanted, like 600.") from None
