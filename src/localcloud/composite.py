"""A step that uses a composite action, as GitHub runs it: its steps in turn, and the `post` of those that have one.

Sources: `CompositeActionHandler.cs`, `ActionRunner.cs`, `ScriptHandler.cs` and `ExecutionContext.cs` of
https://github.com/actions/runner. When the job is cancelled, what runs gets the signal and the steps after it don't
run, whatever their `if` says (https://github.com/actions/runner/pull/2638); each `post` does.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from localcloud.runner import Step, read_file_command

_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
_OUTPUT_OF_STEP = re.compile(r"steps\.(\w+)\.outputs\.([\w-]+)")
_OURS = re.compile(r"org/lightning-zenml-action/(?P<path>[\w/-]+)@\S+")


@dataclass(frozen=True)
class _Post:
    """A JavaScript action whose post is to run."""

    folder: Path
    script: str
    variables: Mapping[str, str]


@dataclass(kw_only=True)
class CompositeStep(Step):
    """One step that uses a composite action of this repository."""

    _outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    _posts: list[_Post] = field(default_factory=list)

    @classmethod
    def like(cls, step: Step, action: Path) -> CompositeStep:
        """The same step of a workflow, with another action."""
        given = {one.name: getattr(step, one.name) for one in fields(step) if not one.name.startswith("_")}
        return cls(**{**given, "action": action})

    def environment(self) -> dict[str, str]:
        """The variables that each step has; a composite action's inputs are none of them."""
        temp = self.root / "temp"
        temp.mkdir(parents=True, exist_ok=True)
        others = set(self.runtime())
        without = {
            name: value
            for name, value in super().environment().items()
            if not name.startswith("INPUT_") and name not in others
        }
        return {**without, "RUNNER_TEMP": str(temp), "GITHUB_ACTION_PATH": str(self.action)}

    def _entrypoint(
        self, name: str, variables: Mapping[str, str], interrupt: Callable[[str], signal.Signals | None]
    ) -> int:
        if name == "post":
            return max((self._run_post(one) for one in reversed(self._posts)), default=0)
        action = yaml.safe_load((self.action / "action.yml").read_text())
        exit_code = 0
        for number, step in enumerate(action["runs"]["steps"]):
            if exit_code == 0:
                exit_code = self._run(step, f"{number}", interrupt)
        with self._file("output").open("a") as file:
            for output, told in action["outputs"].items():
                if value := self._evaluated(told["value"]):
                    file.write(f"{output}<<EOF_OF_OUTPUT\n{value}\nEOF_OF_OUTPUT\n")
        return exit_code

    def _run(self, step: Mapping[str, Any], name: str, interrupt: Callable[[str], signal.Signals | None]) -> int:
        files = {f"GITHUB_{one}": self.root / "steps" / name / one.lower() for one in ("OUTPUT", "STATE")}
        for file in files.values():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("")
        given = {one: self._evaluated(value) for one, value in step.get("env", {}).items()}
        environment = {**self.environment(), **given, **{one: str(file) for one, file in files.items()}}
        if "uses" in step:
            exit_code = self._run_javascript(step, environment, files["GITHUB_STATE"])
        else:
            assert step["shell"] == "bash"
            script = files["GITHUB_OUTPUT"].with_name("script.sh")
            script.write_text(self._evaluated(step["run"]))
            command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)]
            exit_code = self._process(command, environment, interrupt)
        self._outputs[step.get("id", name)] = read_file_command(files["GITHUB_OUTPUT"])
        return exit_code

    def _run_javascript(self, step: Mapping[str, Any], environment: Mapping[str, str], state: Path) -> int:
        used = _OURS.fullmatch(step["uses"])
        assert used
        folder = Path(__file__).parents[2] / used["path"]
        action = yaml.safe_load((folder / "action.yml").read_text())
        assert set(step["with"]) == set(action["inputs"])
        inputs = {f"INPUT_{name.upper()}": self._evaluated(value) for name, value in step["with"].items()}
        variables = {**environment, **self.runtime(), **inputs}
        exit_code = self._process(["node", str(folder / action["runs"]["main"])], variables)
        handed_over = {f"STATE_{name}": value for name, value in read_file_command(state).items()}
        self._posts.append(_Post(folder, action["runs"]["post"], {**inputs, **handed_over}))
        return exit_code

    def _run_post(self, post: _Post) -> int:
        variables = {**self.environment(), **self.runtime(), **post.variables}
        return self._process(["node", str(post.folder / post.script)], variables)

    def _evaluated(self, text: str) -> str:
        return _EXPRESSION.sub(lambda found: self._value(found[1]), text)

    def _value(self, expression: str) -> str:
        """What an expression gives; those that our composite actions use."""
        if expression == "toJSON(inputs)":
            return json.dumps(self._all_inputs(), indent=2)
        output = _OUTPUT_OF_STEP.fullmatch(expression)
        if not output:
            raise ValueError(f"No idea of {expression}")
        return self._outputs.get(output[1], {}).get(output[2], "")
