"""The client's end of the payload: calls its verbs on the studio and reads their answers."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from lightning_zenml.launch.errors import StudioError
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.launch.payload import layout
from lightning_zenml.launch.studio import bundle


@dataclass(frozen=True)
class Remote:
    """The payload of one launch on one studio.

    Args:
        studio: where it runs.
        python: absolute path of the studio's Python (`python` itself is an alias there).
        wheel: our wheel, relative to `.lightning_zenml`; the payload runs straight from it.
        launch_id: of the launch.
    """

    studio: Studio
    python: str
    wheel: str
    launch_id: str

    def call(self, verb: str, *options: str, before: str = "", timeout: float = 120) -> dict[str, Any]:
        """Calls a verb of `lightning_zenml.launch.payload`, each of which is safe to repeat.

        Args:
            verb: of the payload.
            options: of the verb.
            before: bash that runs first, and is safe to repeat too.
            timeout: seconds for all of it.

        Raises:
            StudioLostError: the studio does not run.
            StudioError: the verb failed.
        """
        arguments = [self.python, "-m", "lightning_zenml.launch.payload", verb, self.launch_id, *options]
        command = f'{before}\ncd "$HOME" && PYTHONPATH="$HOME/{layout.HOME}/{self.wheel}" {shlex.join(arguments)}'
        completed = self.studio.run(command, timeout=timeout)
        if completed.exit_code == bundle.NOT_ARRIVED:
            raise StudioError(f"What was uploaded does not show up on the studio '{self.studio.name}'.")
        if completed.exit_code == bundle.NOT_UNPACKED:
            raise StudioError(
                f"What was uploaded can't be unpacked on the studio '{self.studio.name}'; its disk may be full. "
                f"Make room there and run again. It says: {completed.output[-1000:].strip()}"
            )
        answer = last_object(completed.output)
        if completed.exit_code != 0 or answer is None:
            raise StudioError(
                f"The launch's own program failed on the studio '{self.studio.name}' ({verb}, "
                f"exit code {completed.exit_code}): {completed.output[-1000:].strip()}"
            )
        return answer


def last_object(output: str) -> dict[str, Any] | None:
    """The JSON object on a line of its own; whatever the studio's shell prints of its own comes before."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    answer: dict[str, Any] | None = json.loads(lines[-1]) if lines else None
    return answer
