"""A step of a workflow as GitHub runs it, less the container: environment, event, file commands, masks, post.

Sources: `Handler.cs`, `ContainerActionHandler.cs`, `FileCommandManager.cs` and `ActionCommandManager.cs` of
https://github.com/actions/runner. The container itself is the business of tests/container.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

_PASSED_ON = re.compile(
    r"(?i)(SSL_CERT_|REQUESTS_CA_|CURL_CA_|PIP_|UV_|COVERAGE_|COV_CORE_|(https?|no)_proxy$|LANG$|LC_)"
)
"""Of this machine's environment: what the network and the measuring of coverage need. A runner passes nothing on."""
_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
_KILL_AFTER = 60.0


class Log(Protocol):
    """Where a log is shown while it is written."""

    def write(self, text: str, /) -> object:
        """Takes a line."""

    def flush(self) -> object:
        """Shows it now."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a step left behind.

    Args:
        exit_code: of main.
        post_exit_code: of post; None when it did not run.
        log: of main and post, masked as users see it.
        outputs: by name.
        summary: Markdown.
        state: what main handed to post.
    """

    exit_code: int
    post_exit_code: int | None
    log: str
    outputs: Mapping[str, str]
    summary: str
    state: Mapping[str, str]

    @property
    def annotations(self) -> list[tuple[str, str]]:
        """(level, message) of every notice, warning and error, but for the link to what to do."""
        return [(level, message) for level, message, _ in self._annotations]

    @property
    def codes(self) -> list[str]:
        """What kinds of notices, warnings and errors the links are for."""
        return [link.rpartition("#")[2].upper() for _, _, link in self._annotations]

    @property
    def _annotations(self) -> list[tuple[str, str, str]]:
        found = re.findall(r"^::(notice|warning|error)(?: [^\n]*?)?::(.*) (\S+)$", self.log, re.MULTILINE)
        return [(level, _unescape(message), link) for level, message, link in found]


@dataclass(kw_only=True)
class Step:
    """One step that uses the action.

    Args:
        action: folder with action.yml.
        root: folder for the runner's own files.
        workspace: the checked-out repository.
        repository: `owner/name`.
        inputs: as under `with:`.
        api_url: of GitHub.
        token: what `${{ github.token }}` is.
        results_url: of the service for artifacts; '': there is none.
        runtime_token: the job's token for it.
        event_name: e.g. `push`.
        event: its payload.
        sha: GITHUB_SHA.
        ref: GITHUB_REF.
        matrix: the leg of the matrix that the job is; None: there is no matrix.
        env: further variables, as under `env:`.
        stream: where the log is shown while it is written.
    """

    action: Path
    root: Path
    workspace: Path
    repository: str
    inputs: Mapping[str, str]
    api_url: str
    token: str
    event_name: str
    event: Mapping[str, Any]
    sha: str
    ref: str
    matrix: Mapping[str, Any] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    results_url: str = ""
    runtime_token: str = field(default="", repr=False)
    stream: Log | None = None
    _masks: set[str] = field(default_factory=set)
    _lines: list[str] = field(default_factory=list)

    def run(
        self,
        *,
        interrupt: Callable[[str], signal.Signals | None] = lambda line: None,
        post: bool = True,
    ) -> Finished:
        """Runs main, then post as the runner does in any case.

        Args:
            interrupt: sees each line of main's log; the signal that it returns is sent to main.
            post: whether the runner lives to run post.
        """
        for name in ("output", "state", "env", "path", "summary"):
            self._file(name).parent.mkdir(parents=True, exist_ok=True)
            self._file(name).write_text("")
        (self.root / "event.json").write_text(json.dumps(self.event))
        exit_code = self._entrypoint("main", {}, interrupt)
        outputs, state = self._read("output"), self._read("state")
        summary = self._file("summary").read_text()
        post_exit_code = self.run_post(state) if post else None
        return Finished(
            exit_code=exit_code,
            post_exit_code=post_exit_code,
            log="".join(self._lines),
            outputs=outputs,
            summary=summary or self._file("summary").read_text(),
            state=state,
        )

    def run_post(self, state: Mapping[str, str]) -> int:
        """Runs post with what main handed to it; returns its exit code."""
        self._file("state").write_text("")
        variables = {f"STATE_{name}": value for name, value in state.items()}
        return self._entrypoint("post", variables, lambda line: None)

    def environment(self) -> dict[str, str]:
        """The variables of the step, inputs with the defaults of action.yml among them."""
        passed_on = {name: value for name, value in os.environ.items() if _PASSED_ON.match(name)}
        home = self.root / "home"
        home.mkdir(parents=True, exist_ok=True)
        return {
            **passed_on,
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": "octocat",
            "GITHUB_API_URL": self.api_url,
            "GITHUB_EVENT_NAME": self.event_name,
            "GITHUB_EVENT_PATH": str(self.root / "event.json"),
            "GITHUB_JOB": "train",
            "GITHUB_REF": self.ref,
            "GITHUB_REPOSITORY": self.repository,
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RUN_ID": "1658821493",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_SHA": self.sha,
            "GITHUB_WORKFLOW": "Train",
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_OS": "Linux",
            "GITHUB_OUTPUT": str(self._file("output")),
            "GITHUB_STATE": str(self._file("state")),
            "GITHUB_ENV": str(self._file("env")),
            "GITHUB_PATH": str(self._file("path")),
            "GITHUB_STEP_SUMMARY": str(self._file("summary")),
            **self.env,
            **self.runtime(),
            **{f"INPUT_{name.upper().replace(' ', '_')}": value for name, value in self._all_inputs().items()},
        }

    def runtime(self) -> dict[str, str]:
        """What containers and JavaScript get of GitHub Actions' own services, and no script does."""
        if not self.results_url:
            return {}
        names = ("ACTIONS_RUNTIME_URL", "ACTIONS_RESULTS_URL", "ACTIONS_RUNTIME_TOKEN")
        return dict(zip(names, (self.results_url, self.results_url, self.runtime_token), strict=True))

    def command(self, entrypoint: str, environment: Mapping[str, str]) -> list[str]:
        """The process of an entrypoint.

        Args:
            entrypoint: `main` or `post`.
            environment: of the process.
        """
        return [sys.executable, "-m", "lightning_zenml.action", entrypoint]

    def _all_inputs(self) -> dict[str, str]:
        declared = yaml.safe_load((self.action / "action.yml").read_text())["inputs"]
        unknown = set(self.inputs) - set(declared)
        if unknown:
            raise ValueError(f"action.yml declares no inputs {sorted(unknown)}")
        defaults = {name: str(one.get("default", "")) for name, one in declared.items()}
        return {**{name: _EXPRESSION.sub(self._evaluate, value) for name, value in defaults.items()}, **self.inputs}

    def _evaluate(self, expression: re.Match[str]) -> str:
        """The expressions that action.yml uses in defaults."""
        return {"github.token": self.token, "toJSON(matrix)": json.dumps(self.matrix, indent=2)}[expression[1]]

    def _entrypoint(
        self, name: str, variables: Mapping[str, str], interrupt: Callable[[str], signal.Signals | None]
    ) -> int:
        environment = {**self.environment(), **variables}
        return self._process(self.command(name, environment), environment, interrupt)

    def _process(
        self,
        command: list[str],
        environment: Mapping[str, str],
        interrupt: Callable[[str], signal.Signals | None] = lambda line: None,
    ) -> int:
        """Runs one process of the step to its end."""
        process = subprocess.Popen(
            command,
            cwd=self.workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        killer: threading.Timer | None = None
        try:
            assert process.stdout is not None
            for line in process.stdout:
                self._take(line)
                number = interrupt(line)
                if number is not None and killer is None:
                    _send(process, number)
                    killer = threading.Timer(_KILL_AFTER, _send, [process, signal.SIGKILL])
                    killer.start()
            return process.wait()
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
            if killer is not None:
                killer.cancel()

    def _take(self, line: str) -> None:
        if match := re.match(r"::add-mask::(.*)$", line):
            self._masks.add(_unescape(match[1]))
            return
        for mask in sorted(self._masks, key=len, reverse=True):
            line = line.replace(mask, "***")
        self._lines.append(line)
        if self.stream is not None:
            self.stream.write(line)
            self.stream.flush()

    def _file(self, command: str) -> Path:
        return self.root / "file_commands" / command

    def _read(self, command: str) -> dict[str, str]:
        return read_file_command(self._file(command))


def _send(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Sends a signal to the first process of a container, with which all others die."""
    others = descendants(process.pid) if number is signal.SIGKILL else []
    process.send_signal(number)
    for pid in others:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """The ids of a process's children, and of theirs."""
    children: list[int] = []
    # The process, or a thread, may end meanwhile.
    with contextlib.suppress(OSError):
        for task in list(Path(f"/proc/{pid}/task").iterdir()):
            with contextlib.suppress(OSError):
                children += map(int, (task / "children").read_text().split())
    return children + [other for child in children for other in descendants(child)]


def _unescape(data: str) -> str:
    return data.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def read_file_command(file: Path) -> dict[str, str]:
    """Reads `name=value` and heredoc entries; as on the runner, anything else is an error."""
    values: dict[str, str] = {}
    lines = file.read_text().splitlines()
    while lines:
        line = lines.pop(0)
        if match := re.fullmatch(r"([^=<]+)<<(.+)", line):
            value = []
            while lines[0] != match[2]:
                value.append(lines.pop(0))
            lines.pop(0)
            values[match[1]] = "\n".join(value)
        elif "=" in line:
            name, _, value_of = line.partition("=")
            values[name] = value_of
        elif line:
            raise ValueError(f"Invalid format '{line}'")
    return values
