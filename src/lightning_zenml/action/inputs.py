"""The action's inputs: `INPUT_*` variables, read into one `Inputs`, with every problem reported at once."""

from __future__ import annotations

import base64
import json
import math
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml

from lightning_zenml.action.metrics import ReportSettings
from lightning_zenml.launch.spec import KeepStudio

DEFAULTS: Mapping[str, str] = {
    "run": "",
    "working-directory": ".",
    "studio-name": "",
    "machine-type": "",
    "commands": "",
    "requirements": "",
    "env": "",
    "async": "false",
    "attach": "",
    "settings": "",
    "stack": "",
    "project": "",
    "timeout-minutes": "",
    "max-cost": "",
    "keep-studio": "auto",
    "stop-on-cancel": "true",
    "comment": "auto",
    "comment-key": "",
    "matrix": "",
    "report": "",
    "github-token": "",
    "lightning-user-id": "",
    "lightning-api-key": "",
    "lightning-username": "",
    "lightning-teamspace": "",
    "lightning-org": "",
    "zenml-store-url": "",
    "zenml-store-api-key": "",
}
"""Every input and what it is when it is not given or empty, as in action.yml."""

FROM_ENVIRONMENT: Mapping[str, str] = {
    "lightning-user-id": "LIGHTNING_USER_ID",
    "lightning-api-key": "LIGHTNING_API_KEY",
    "lightning-username": "LIGHTNING_USERNAME",
    "lightning-teamspace": "LIGHTNING_TEAMSPACE",
    "lightning-org": "LIGHTNING_ORG",
    "zenml-store-url": "ZENML_STORE_URL",
    "zenml-store-api-key": "ZENML_STORE_API_KEY",
}
"""The variable that stands in for an input that is not given."""

# Inputs that GitHub gives every Docker action.
_OF_EVERY_DOCKER_ACTION = frozenset({"entrypoint", "args"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_SHORTEST_SECRET = 6


class InputsError(Exception):
    """Inputs that can't be used.

    Attributes:
        problems: the input's name and what is wrong with it, in words for the user; no secret in them.
    """

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{name}: {message}" for name, message in problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The action's inputs, checked. README.md and action.yml say what each is for.

    Args:
        run: bash.
        working_directory: relative to the repository, normalised.
        studio_name: None: a fresh studio.
        machine_type: names in order of preference, as given.
        commands: bash, one item per command.
        requirements: files, relative to the repository.
        env: variables for commands, run and steps.
        is_async: leave once the run has started.
        attach: id of an earlier launch to follow instead of starting one.
        settings: orchestrator settings, plain JSON values.
        stack: None: the server's active one.
        project: None: the server's active one.
        timeout_minutes: None: no limit.
        max_cost: US dollars; None: no limit.
        keep_studio: what becomes of the studio.
        stop_on_cancel: stop the remote run when the workflow is cancelled.
        comment: whether to comment on pull requests.
        comment_key: tells several comments apart; None: derived from the workflow.
        matrix: GitHub's context of that name, by default: the leg of the matrix that this job is.
        report: which metrics the report shows, and what is better.
        github_token: None: no comment possible.
        lightning_user_id: None: the API key alone is used, as bearer token.
        lightning_api_key: of Lightning AI.
        lightning_username: owner of the teamspace, if a user.
        lightning_teamspace: None: the only one, or the one in the settings.
        lightning_org: owner of the teamspace, if an organization.
        zenml_store_url: of the ZenML server.
        zenml_store_api_key: of a ZenML service account.
        unknown: inputs that this action doesn't have, worth a warning.
    """

    run: str
    working_directory: str
    studio_name: str | None
    machine_type: tuple[str, ...]
    commands: tuple[str, ...]
    requirements: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    is_async: bool
    attach: str | None
    settings: Mapping[str, Any] = field(repr=False)
    stack: str | None
    project: str | None
    timeout_minutes: float | None
    max_cost: float | None
    keep_studio: KeepStudio
    stop_on_cancel: bool
    comment: bool
    comment_key: str | None
    matrix: Mapping[str, Any]
    report: ReportSettings = field(default_factory=ReportSettings)
    github_token: str | None = field(repr=False)
    lightning_user_id: str | None
    lightning_api_key: str = field(repr=False)
    lightning_username: str | None
    lightning_teamspace: str | None
    lightning_org: str | None
    zenml_store_url: str
    zenml_store_api_key: str = field(repr=False)
    unknown: tuple[str, ...]

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Inputs:
        """Reads `INPUT_<NAME>`, and for credentials the usual variables.

        GitHub keeps the dashes of a name (`INPUT_STUDIO-NAME`); a shell that can't set such a variable may
        use underscores. Empty means not given.

        Raises:
            InputsError: holds every problem there is.
        """
        reader = _Reader(environ)
        inputs = cls(
            run=reader.command("run"),
            working_directory=reader.path("working-directory", reader.text("working-directory")),
            studio_name=reader.optional("studio-name"),
            machine_type=_split(r",", reader.text("machine-type")),
            commands=reader.commands("commands"),
            requirements=tuple(
                reader.path("requirements", file) for file in _split(r"[,\s]+", reader.text("requirements"))
            ),
            env=reader.env("env"),
            is_async=reader.boolean("async"),
            attach=reader.launch_id("attach"),
            settings=reader.mapping("settings"),
            stack=reader.optional("stack"),
            project=reader.optional("project"),
            timeout_minutes=reader.number("timeout-minutes"),
            max_cost=reader.max_cost("max-cost"),
            keep_studio=KeepStudio(reader.choice("keep-studio", tuple(KeepStudio))),
            stop_on_cancel=reader.boolean("stop-on-cancel"),
            comment=reader.choice("comment", ("auto", "off")) == "auto",
            comment_key=reader.optional("comment-key"),
            matrix=reader.matrix("matrix"),
            report=reader.report("report"),
            github_token=reader.optional("github-token"),
            lightning_user_id=reader.optional("lightning-user-id"),
            lightning_api_key=reader.required("lightning-api-key", "your API key, from Lightning AI's settings"),
            lightning_username=reader.optional("lightning-username"),
            lightning_teamspace=reader.optional("lightning-teamspace"),
            lightning_org=reader.optional("lightning-org"),
            zenml_store_url=reader.url("zenml-store-url", "the address of your ZenML server"),
            zenml_store_api_key=reader.required("zenml-store-api-key", "the key of a ZenML service account"),
            unknown=_unknown(environ),
        )
        if reader.problems:
            raise InputsError(reader.problems)
        return inputs

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values to mask: keys, token, the login header, and what is named like a secret in `env` and `settings`.

        GitHub masks what comes from `${{ secrets }}` in the log, but nobody does in a comment.
        """
        named = [
            str(value)
            for name, value in (*self.env.items(), *self.settings.items())
            if _SECRET_NAME.search(name) and len(str(value)) >= _SHORTEST_SECRET
        ]
        login = f"{self.lightning_user_id}:{self.lightning_api_key}" if self.lightning_user_id else ""
        values = [
            self.lightning_api_key,
            base64.b64encode(login.encode(errors="replace")).decode(),
            self.zenml_store_api_key,
            self.github_token or "",
            *named,
        ]
        return tuple(dict.fromkeys(value for value in values if value))


class _Reader:
    """Reads single inputs. A problem is noted, and a harmless value returned, so that all get noted."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[tuple[str, str]] = []

    def text(self, name: str) -> str:
        upper = name.upper()
        names = [f"INPUT_{upper}", f"INPUT_{upper.replace('-', '_')}", FROM_ENVIRONMENT.get(name, "")]
        given = (self._environ.get(variable, "").strip() for variable in names)
        return next(filter(None, given), DEFAULTS[name])

    def optional(self, name: str) -> str | None:
        return self.text(name) or None

    def required(self, name: str, meaning: str) -> str:
        value = self.text(name)
        if not value:
            variable = FROM_ENVIRONMENT.get(name)
            self._note(name, f"is required: {meaning}{f' (or set {variable})' if variable else ''}")
        return value

    def command(self, name: str) -> str:
        """What to run; not asked for where an earlier launch is followed."""
        if self.text("attach"):
            return self.text(name)
        return self.required(name, "the shell command that runs the pipeline, e.g. `python run.py`")

    def launch_id(self, name: str) -> str | None:
        value = self.optional(name)
        if value and not re.fullmatch(r"[A-Za-z0-9._-]+-[0-9a-f]{8}", value):
            self._refuse(name, value, "the output `launch-id` of an earlier step")
        return value

    def boolean(self, name: str) -> bool:
        return _BOOLEANS[self.choice(name, tuple(_BOOLEANS), "`true` or `false`")]

    def choice(self, name: str, allowed: tuple[str, ...], description: str = "") -> str:
        value = self.text(name)
        if value in allowed:
            return value
        self._refuse(name, value, description or "one of " + ", ".join(f"`{item}`" for item in allowed))
        return allowed[0]

    def number(self, name: str) -> float | None:
        value = self.text(name)
        if not value:
            return None
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0):
            self._refuse(name, value, "a number above 0")
        return number

    def max_cost(self, name: str) -> float | None:
        """A limit that somebody must be there to keep."""
        value = self.number(name)
        if value is not None and (_BOOLEANS.get(self.text("async")) or self.text("attach")):
            self._note(name, "goes with a run that is waited for; with `async` or `attach` use `timeout-minutes`")
        return value

    def matrix(self, name: str) -> dict[str, Any]:
        """GitHub's context, as JSON; `null` where the job has no matrix."""
        value = self.text(name)
        try:
            context = json.loads(value or "null") or {}
        except (ValueError, RecursionError):
            context = None
        if isinstance(context, dict):
            return context
        self._refuse(name, value, "left alone: it is GitHub's own `${{ toJSON(matrix) }}`")
        return {}

    def url(self, name: str, meaning: str) -> str:
        value = self.required(name, meaning)
        try:
            parts = urlsplit(value)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            usable = False
        if value and not usable:
            self._refuse(name, value, "an address that begins with `https://`")
        return value.rstrip("/")

    def path(self, name: str, value: str) -> str:
        """A path relative to the repository. `${{ github.workspace }}/...` is fine: the same, written out."""
        workspace = self._environ.get("GITHUB_WORKSPACE", "")
        if workspace and posixpath.isabs(value):
            value = posixpath.relpath(posixpath.normpath(value), posixpath.normpath("/" + workspace))
        normal = posixpath.normpath(value)
        if posixpath.isabs(normal) or normal.split("/")[0] == ".." or "\0" in normal:
            self._refuse(name, value, "a path inside the repository, relative to its root")
        return normal

    def commands(self, name: str) -> tuple[str, ...]:
        """One command per line (a backslash at the end continues it), or a YAML list."""
        value = self.text(name)
        # `[ -f x ] && y` is bash: a list in brackets counts as one only if it begins with a quoted string.
        if not re.match(r"-\s|\[\s*[\"']", value):
            lines = re.split(r"(?<!\\)\r?\n", value)
            return tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
        parsed = self._yaml(name, value, _is_list_of_texts, "one command per line, or a YAML list of strings")
        return tuple(command.strip() for command in parsed or ())

    def env(self, name: str) -> dict[str, str]:
        variables: dict[str, str] = {}
        for line in self.text(name).splitlines():
            key, equals, value = line.partition("=")
            key = key.strip()
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
                # Only what stands before the first `=`: the rest may be secret.
                shown = key if equals else key.split()[0]
                self._note(
                    name,
                    f"`{shown[:40]}` is not allowed: lines must be `NAME=value`, names letters, digits, `_`",
                )
            elif key in variables:
                self._note(name, f"`{key}` is given twice")
            variables[key] = value
        return variables

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.text(name)
        allowed = "a YAML mapping of orchestrator settings, e.g. `max_parallel_steps: 2`"
        parsed = self._yaml(name, value, _is_mapping, allowed) if value else {}
        try:
            plain: dict[str, Any] = json.loads(json.dumps(parsed or {}, allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            self._note(name, "may hold only texts, numbers, booleans, lists and mappings (put dates in quotes)")
            return {}
        return plain

    def report(self, name: str) -> ReportSettings:
        value = self.text(name)
        allowed = "a YAML mapping, e.g. `metrics: {accuracy: higher, loss: lower}`"
        settings, problems = ReportSettings.from_yaml(
            (self._yaml(name, value, _is_mapping, allowed) or {}) if value else {}
        )
        for problem in problems:
            self._note(name, problem)
        return settings

    def _yaml(self, name: str, value: str, usable: Callable[[Any], bool], allowed: str) -> Any:
        try:
            parsed = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f" in line {mark.line + 1}" if mark else ""
            self._note(
                name, f"is not valid YAML{where} ({getattr(error, 'problem', None) or error}): must be {allowed}"
            )
            return None
        if not usable(parsed):
            self._refuse(name, value, allowed)
            return None
        return parsed

    def _refuse(self, name: str, value: str, allowed: str) -> None:
        shown = value if len(value) <= 100 else value[:99] + "…"
        self._note(name, f"`{shown}` is not allowed: must be {allowed}")

    def _note(self, name: str, message: str) -> None:
        self.problems.append((name, message))


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _split(separator: str, text: str) -> tuple[str, ...]:
    return tuple(part for part in (part.strip() for part in re.split(separator, text)) if part)


def _unknown(environ: Mapping[str, str]) -> tuple[str, ...]:
    names = (name.removeprefix("INPUT_").lower() for name in environ if name.startswith("INPUT_"))
    known = {*DEFAULTS, *_OF_EVERY_DOCKER_ACTION}
    return tuple(sorted(name for name in names if name.replace("_", "-") not in known))
