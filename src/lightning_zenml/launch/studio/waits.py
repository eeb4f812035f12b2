"""Waits for a studio: stopped, running, set up. Every wait has a bound.

How the platform behaves meanwhile is in docs/assumptions.md: running is not ready, `python` answers "still setting
things up" for a minute or two.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lightning_zenml.codes import Code
from lightning_zenml.launch.agreement import Agreement
from lightning_zenml.launch.errors import LaunchError, MachineError, StudioAwayError, StudioError, StudioLostError
from lightning_zenml.launch.lightning.machines import Machine
from lightning_zenml.launch.lightning.records import Completed, StudioState
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.payload.variables import SETUP_TIMEOUT, START_TIMEOUT
from lightning_zenml.launch.studio.progress import WaitProgress

_SETTING_UP = "setting things up"
_PROBE = f"""python -c 'import sys; print("python " + sys.executable)' \
&& (nvidia-smi -L 2>/dev/null | grep -c '^GPU' | sed 's/^/gpus /'; cd {layout.HOME} 2>/dev/null \
&& for file in {layout.PARTS}/* {layout.WHEELS}/*/*; do test -f "$file" && printf 'file %s\\n' "$file"; done; \
true)"""
"""One command tells all that must be known of a ready studio."""
_PROBE_PATIENCE = 30.0
"""Seconds for one probe."""
_STOP_PATIENCE = 300.0
"""Seconds for a machine to stop."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long to wait for what the platform does.

    Args:
        start: seconds until a machine must be up.
        setup: seconds until `python` must work on a running studio.
        switch: seconds until another machine must be under a running studio.
        lost_switch: the same for a switch that the platform refused and may make all the same.
        packages: seconds until `late_packages` of a launch must be known, once its studio is ready.
        beat: seconds between two signs of life of a launch that is made ready.
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

        Args:
            environ: environment variables of the process.

        Raises:
            LaunchError: when a variable holds no number.
        """
        start = _seconds(environ, START_TIMEOUT, cls.start)
        return cls(start=start, switch=start, setup=_seconds(environ, SETUP_TIMEOUT, cls.setup))


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What is found on a studio that is set up.

    Args:
        python: absolute path of the studio's Python.
        gpus: number of GPUs that its machine has.
        files: parts of archives, and wheels, that it has, relative to `.lightning_zenml`.
    """

    python: str
    gpus: int
    files: frozenset[str]


class BoundedWaits:
    """Waits for studios, each up to its limit, and reports the long ones.

    Args:
        limits: how long to wait for what.
        say: takes a line for the log.
    """

    def __init__(self, limits: Limits, say: Callable[[str], None]) -> None:
        self.limits = limits
        self._say = say

    def until_stopped(self, studio: Studio) -> StudioState:
        """Waits for the end of a machine that is on its way out, so that the studio can be started again.

        Args:
            studio: studio that is stopping.

        Returns:
            The state that the wait ended in: somebody else may have started the studio since.

        Raises:
            StudioError: when the machine does not end within five minutes.
        """
        deadline = time.monotonic() + _STOP_PATIENCE
        while not (state := studio.state()).stopped and not state.running:
            if time.monotonic() > deadline:
                raise StudioError(f"The studio '{studio.name}' does not get stopped. Look at it on Lightning AI.")
            time.sleep(1)
        return state

    def until_running(
        self,
        studio: Studio,
        machine: Machine,
        *,
        before: StudioState,
        ask_again: Callable[[], None] | None = None,
    ) -> StudioState:
        """Waits until a machine is up that was asked for.

        Args:
            studio: studio whose machine was asked for.
            machine: kind of that machine.
            before: state of the studio before it was asked for: what had ended then is not taken for its end.
            ask_again: called when none is on its way after half a minute: that it was answered is no proof that what
                was asked for has happened. None: it isn't asked for again.

        Returns:
            The state with a machine that is up.

        Raises:
            MachineError: when none comes up within the limit, or it failed.
            StudioLostError: when the studio was stopped meanwhile.
        """
        old = {instance.id for instance in before.instances if instance.ended}
        deadline, pause = time.monotonic() + self.limits.start, 0.3
        progress = WaitProgress(f"a machine ({machine.name}) for {studio.name}", self._say)
        nothing_comes = Agreement()
        while not (state := studio.state()).running:
            progress.go_on()
            ended = next((one for one in state.instances if one.ended and one.id not in old), None)
            if ended and state.stopped:
                reason = ended.message or ended.phase.lower()
                fault = MachineError if ended.phase == "FAILED" else StudioLostError
                raise fault(f"The studio '{studio.name}' did not come up on {machine.name}: {reason}.")
            if nothing_comes.settles(state.stopped) and ask_again:
                ask_again()
                nothing_comes = Agreement()
            if time.monotonic() > deadline:
                raise MachineError(
                    f"No {machine.name} for the studio '{studio.name}' within {self.limits.start:.0f} s; "
                    "there may be no capacity. Try later, or name several machines in order of preference."
                )
            time.sleep(pause)
            pause = min(pause * 1.3, 5)
        progress.end()
        return state

    def until_set_up(self, studio: Studio, *, at_once: bool = False, most: float = math.inf) -> Probe | None:
        """Waits until a running studio's Python works.

        Args:
            studio: studio whose machine is up.
            at_once: whether one look must do.
            most: seconds to wait at most, whatever the limit is.

        Returns:
            What is found there; None when it does not work within the limit.

        Raises:
            StudioLostError: when the studio was stopped meanwhile.
        """
        deadline, pause = time.monotonic() + min(self.limits.setup, most), 0.3
        progress = WaitProgress(f"the set-up of {studio.name}", self._say)
        while True:
            progress.go_on()
            if probe := self._probe(studio):
                progress.end()
                return probe
            if at_once or time.monotonic() > deadline:
                return None
            time.sleep(pause)
            pause = min(pause * 1.3, 5)

    @staticmethod
    def _probe(studio: Studio) -> Probe | None:
        """None where the studio refuses the command, as it may just after its machine is up, or does not end it."""
        try:
            answer = studio.run(_PROBE, timeout=_PROBE_PATIENCE, is_short=True)
        except StudioAwayError:
            if why := studio.why_lost():
                raise StudioLostError(why) from None
            return None
        except StudioError:
            return None
        python = facts(answer, "python")
        if answer.exit_code != 0 or _SETTING_UP in answer.output or not python:
            return None
        gpus = sum(int(value) for value in facts(answer, "gpus"))
        return Probe(python=python[0], gpus=gpus, files=frozenset(facts(answer, "file")))


def facts(answer: Completed, kind: str) -> list[str]:
    """What a command has told of one kind of things.

    Args:
        answer: finished command; each line of its output that tells something begins with the kind.
        kind: first word of the lines that are wanted.

    Returns:
        The rest of these lines.
    """
    return [line.removeprefix(f"{kind} ") for line in answer.output.splitlines() if line.startswith(f"{kind} ")]


def _seconds(environ: Mapping[str, str], name: str, otherwise: float) -> float:
    try:
        return float(environ.get(name) or otherwise)
    except ValueError:
        raise LaunchError(
            f"{name} is '{environ[name]}': a number of seconds is wanted, like 600.", code=Code.SETTINGS
        ) from None
