"""What GitHub gives a Docker action and no composite one: a variable for each input, and what main has left for post.

The composite action hands over all inputs at once, and the name of the file in which main has noted its state, see
`composite/action.yml`. What follows needs not know which of both it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

_INPUTS = "INPUT_INPUTS"
_STATE = "LIGHTNING_ZENML_STATE"
_ENTRY = re.compile(r"^(\w+)<<(\S+)\n(?:(.*?)\n)?\2$", re.MULTILINE | re.DOTALL)
"""As `Workflow.save_state` writes it."""


def as_of_docker(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the step, as a Docker action has them.

    Args:
        environ: variables of the step, of either kind of action.

    Returns:
        The same, with `INPUT_*` and, for post, `STATE_*`.

    Raises:
        ValueError: the inputs are not what GitHub's `toJSON(inputs)` gives.
    """
    if _INPUTS not in environ:
        return dict(environ)
    others = {name: value for name, value in environ.items() if name not in (_INPUTS, _STATE)}
    inputs = json.loads(environ[_INPUTS])
    if not isinstance(inputs, dict):
        raise ValueError(f"{_INPUTS} is no mapping of inputs")
    given = {f"INPUT_{name.upper().replace(' ', '_')}": str(value) for name, value in inputs.items()}
    return {**others, **given, **_state(environ.get(_STATE, ""))}


def _state(file: str) -> dict[str, str]:
    """What main has noted, of each name the newest; a killed main may have left half an entry, which is left out."""
    if not file:
        return {}
    try:
        text = Path(file).read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return {}
    return {f"STATE_{name}": value for name, _, value in _ENTRY.findall(text)}
