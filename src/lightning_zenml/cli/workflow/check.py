"""`init --check`: a workflow that uses the Action, looked at before it runs; all that is wrong at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from lightning_zenml.action.inputs import FROM_ENVIRONMENT, Inputs, InputsError, SubmitFrom
from lightning_zenml.cli.workflow.document import Field, NotYamlError, read
from lightning_zenml.cli.workflow.finding import Checked, Finding, Severity
from lightning_zenml.cli.workflow.named import EXPRESSION, code_of, unknown_of_matrix
from lightning_zenml.launch.lightning.machines import doubts
from lightning_zenml.launch.own_code import lacking, may_install

FOLDER = ".github/workflows"
_OURS = re.compile(r"[^@\s]*/lightning-zenml-action(?:/[^@\s]*)?@(?P<ref>\S+)", re.IGNORECASE)
_CHECKOUT = re.compile(r"actions/checkout@v?(?P<major>\d+)?")
_OLDEST_CHECKOUT = 4
"""Major version of actions/checkout; what is older runs on a Node that GitHub has taken away."""
_BRANCHES = frozenset({"main", "master", "develop", "latest"})
_OF_THE_DEFAULT_BRANCH = frozenset({"pull_request_target", "workflow_run", "issue_comment"})
"""Events on which actions/checkout takes another commit than the one that they tell of."""
_OF_ANYBODY = frozenset({"fork", "watch"})
_KEYS = ("lightning-api-key", "zenml-store-api-key")
_PLACEHOLDERS = {
    "zenml-store-url": "https://zenml.example",
    "attach": "zenml-model-00000000-00000000",
    **dict.fromkeys(_KEYS, "0" * 20),
}
"""What stands for an expression, where only a value of some shape will do."""
_OPTED_IN = {"check-run": "checks", "deployment": "deployments"}
"""Inputs that need a permission of their own."""
_ANY_TEXT = frozenset({"run", "commands", "env", "studio-name", "comment-key", "stack", "project"})
"""Inputs in which a word stands for an expression; any other that holds one is left out."""


def workflows(root: Path) -> list[Path]:
    """The workflow files of a repository that use the Action.

    Args:
        root: root of the repository.
    """
    files = sorted((root / FOLDER).glob("*.y*ml"))
    return [file for file in files if "lightning-zenml-action" in file.read_text(encoding="utf-8", errors="replace")]


def check(root: Path, file: Path) -> Checked:
    """Looks at one workflow.

    Args:
        root: root of the repository, in which the paths of inputs must exist.
        file: the workflow file.
    """
    name = str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
    try:
        workflow = read(file.read_text(encoding="utf-8"))
    except NotYamlError as error:
        return _unreadable(name, error.line, str(error))
    except (OSError, UnicodeDecodeError) as error:
        return _unreadable(name, 1, f"It can't be read: {error}")
    look = _Check(root, workflow)
    told = dict.fromkeys(look.findings())
    return Checked(
        findings=tuple(
            Finding(file=name, line=line, severity=severity, message=message)
            for line, severity, message in sorted(told, key=lambda one: one[0])
        ),
        files=tuple(look.files),
        machines=tuple(look.machines),
        unread=tuple(look.unread),
    )


def _unreadable(name: str, line: int, message: str) -> Checked:
    return Checked(findings=(Finding(file=name, line=line, severity=Severity.ERROR, message=message),))


_Found = tuple[int, Severity, str]
"""A line, and what is wrong there."""


class _Check:
    """One look at one workflow."""

    def __init__(self, root: Path, workflow: Field) -> None:
        self._root = root
        self._workflow = workflow
        self.files: dict[str, None] = {}
        self.machines: dict[str, None] = {}
        self.unread: dict[str, None] = {}

    def findings(self) -> Iterator[_Found]:
        """Yields what is wrong, in the order of the checks."""
        jobs = self._workflow["jobs"].fields
        for job in jobs.values():
            for number, step in enumerate(job["steps"].items):
                if _OURS.fullmatch(step["uses"].text):
                    yield from self._events(job, step)
                    yield from _machine(job, step)
                    of_job = job.fields.get("permissions", self._workflow.fields.get("permissions"))
                    yield from _permissions(of_job, job, step)
                    yield from _version(step["uses"])
                    yield from self._checkout(job["steps"].items[:number], step)
                    yield from self._inputs(job, step, job["steps"].items[:number])
                    yield from _time(job, step)

    def _events(self, job: Field, step: Field) -> Iterator[_Found]:
        on = self._workflow["on"]
        if not on:
            yield _error(job.line, "The workflow has no `on`, so nothing starts it. Write `on: push`.")
        events = on.words()
        for event in events:
            line = on.fields.get(event, on).line
            if event in _OF_ANYBODY:
                message = (
                    f"Anybody may cause `{event}`, so it starts no paid machine. Use `push` or `workflow_dispatch`."
                )
                yield _error(line, message)
            if event in _OF_THE_DEFAULT_BRANCH and not step["with"]["attach"] and not self._has_ref(job):
                yield _warning(
                    line,
                    f"On `{event}`, actions/checkout takes the default or base branch. Give it the `ref` of the "
                    "commit that is meant; a fork's is refused.",
                )
        push = on["push"]
        filters = ("branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore")
        if {"push", "pull_request"} <= set(events) and not any(push[name] for name in filters):
            yield _warning(
                push.line,
                "`push` of any branch and `pull_request` train each commit of a pull request twice. Keep one of them, "
                "or limit `push` to the default branch (`branches: [main]`).",
            )

    @staticmethod
    def _has_ref(job: Field) -> bool:
        return any(_CHECKOUT.match(step["uses"].text) and step["with"]["ref"] for step in job["steps"].items)

    def _checkout(self, before: tuple[Field, ...], step: Field) -> Iterator[_Found]:
        if step["with"]["attach"]:
            return
        found = [(one, match) for one in before if (match := _CHECKOUT.match(one["uses"].text))]
        if not found:
            yield _error(
                step.line,
                "Nothing is checked out before this step, so there is no repository to package. Write "
                "`- uses: actions/checkout@v5` above it.",
            )
            return
        checkout, match = found[-1]
        given = checkout["with"]
        if match["major"] and int(match["major"]) < _OLDEST_CHECKOUT:
            yield _warning(checkout.line, f"actions/checkout@v{match['major']} is too old: use `@v5`.")
        if (self._root / ".gitmodules").is_file() and given["submodules"].text not in ("true", "recursive"):
            yield _warning(checkout.line, "The repository has submodules: set `submodules: true`.")
        if _uses_lfs(self._root) and given["lfs"].text != "true":
            yield _warning(checkout.line, "The repository has Git LFS files: set `lfs: true`.")
        if (path := given["path"].text) and not step["with"]["working-directory"]:
            yield _warning(step.line, f"The checkout is in `{path}`: set `working-directory: {path}`.")

    def _inputs(self, job: Field, step: Field, before: tuple[Field, ...]) -> Iterator[_Found]:
        given = step["with"].fields
        for name, value in given.items():
            if value.fields or value.items:
                yield _error(value.line, f"`{name}` must be text: write `{name}: |`, and what it holds below.")
        for name in (*_KEYS, "github-token"):
            text = given[name].text if name in given else ""
            if text and not EXPRESSION.search(text):
                yield _error(
                    given[name].line,
                    f"`{name}` is written into the file, where everybody reads it. Take that key back, and give a "
                    "new one as a secret: `${{ secrets.NAME }}`.",
                )
            elif re.search(r"\$\{\{\s*vars\.", text):
                yield _error(given[name].line, f"`{name}` comes from a variable, which is no secret: use `secrets`.")
        environ = dict(_environ({name: value for name, value in given.items() if value.text}))
        variables = {name for one in (self._workflow, job, step) for name in one["env"].fields}
        for name, variable in FROM_ENVIRONMENT.items():
            if variable in variables:
                environ[variable] = _PLACEHOLDERS.get(name, "x")
        try:
            # With `path`, the checkout is not where it is here.
            is_elsewhere = any(_CHECKOUT.match(one["uses"].text) and one["with"]["path"] for one in before)
            inputs = Inputs.from_environ(environ, None if is_elsewhere else self._root)
        except InputsError as error:
            inputs = error.inputs
            for name, message in error.problems:
                yield _error(given.get(name, step).line, f"`{name}` {message}")
        for name, message in inputs.warnings:
            yield _warning(given.get(name, step).line, f"`{name}` {message}")
        for name, message, line in unknown_of_matrix(job, given):
            yield _error(line, f"`{name}` {message}")
        self.unread |= {name: None for name, value in given.items() if EXPRESSION.search(value.text)}
        yield from self._machines(inputs, step["with"])
        if not is_elsewhere:
            yield from self._files(inputs, step["with"])

    def _files(self, inputs: Inputs, given: Field) -> Iterator[_Found]:
        named = (*inputs.requirements, *([inputs.config] if inputs.config else []))
        self.files |= {name: None for name in named if (self._root / name).is_file()}
        line = (given["run"] or given["pipeline"]).line
        for one in code_of(self._root, inputs, given["run"].text):
            if one.path:
                self.files[one.path] = None
                continue
            where = f" from `{inputs.working_directory}`" if inputs.working_directory != "." else ""
            message = f"`{one.by}` names `{one.name}`, which is not in the repository{where}. {one.hint}".strip()
            # Those may make it.
            yield _warning(line, message) if inputs.commands else _error(line, message)
        if message := _not_installed(self._root, inputs):
            yield _warning(line, message)

    def _machines(self, inputs: Inputs, given: Field) -> Iterator[_Found]:
        told = doubts(inputs.machine_type)
        if not told:
            self.machines |= dict.fromkeys(inputs.machine_type)
        for doubt in told:
            message = f"{doubt} What your teamspace sells, `lightning-zenml doctor --machine-type NAME` asks."
            yield _warning(given["machine-type"].line, message)


def _environ(given: dict[str, Field]) -> Iterator[tuple[str, str]]:
    """What the Action would find of the inputs, with something in the place of expressions."""
    for name, value in given.items():
        text = value.text
        if EXPRESSION.search(text):
            if name in _PLACEHOLDERS:
                text = _PLACEHOLDERS[name]
            elif name in _ANY_TEXT:
                text = EXPRESSION.sub("x", text)
            else:
                continue
        yield f"INPUT_{name.upper()}", text


def _not_installed(root: Path, inputs: Inputs) -> str:
    """What to write where the command imports a package of the repository that nothing installs; '' for nothing."""
    package = lacking(root, inputs.working_directory, inputs.run, inputs.pipeline or "")
    files = [root / name for name in inputs.requirements]
    if (
        package is None
        or "PYTHONPATH" in inputs.env
        or may_install([*inputs.commands, inputs.run], files, package.name)
    ):
        return ""
    told = f"`{package.name}` lies in `{package.folder}`, where Python finds it only once it is installed"
    if not package.install:
        return f"{told}, and no project file says how: set `working-directory: {package.folder}`."
    if inputs.submit_from is SubmitFrom.RUNNER:
        line = package.install.removeprefix("pip install ")
        return f"{told}. The runner installs `requirements` alone: add the line `{line}` to a file of them."
    if inputs.commands:
        return f"{told}: add the line `{package.install}` to `commands`."
    return f"{told}: write `commands: {package.install}`."


def _machine(job: Field, step: Field) -> Iterator[_Found]:
    name, _, ref = step["uses"].text.partition("@")
    is_composite = name.endswith("/composite")
    for word in job["runs-on"].words():
        if is_composite and re.match("windows", word, re.IGNORECASE):
            message = f"The Action needs Linux or macOS: `runs-on: ubuntu-latest` instead of `{word}`."
            yield _error(job["runs-on"].line, message)
        elif not is_composite and re.match("(windows|macos)", word, re.IGNORECASE):
            message = f"The Action is a container, which needs Linux: `runs-on: ubuntu-latest` instead of `{word}`."
            if re.match("macos", word, re.IGNORECASE):
                message += f" Or use `{name}/composite@{ref}`, which runs on macOS too."
            yield _error(job["runs-on"].line, message)
    if is_composite and step["with"]["pictures"].text == "artifact":
        message = f"`pictures: artifact` needs the Action's container: `{name.removesuffix('/composite')}@{ref}`."
        yield _warning(step["with"]["pictures"].line, message)


def _permissions(given: Field | None, job: Field, step: Field) -> Iterator[_Found]:
    contents = "write" if step["with"]["pictures"].text == "branch" else "read"
    more = {name: scope for name, scope in _OPTED_IN.items() if step["with"][name].text.lower() == "true"}
    written = ("pull-requests", "statuses", *more.values())
    needed = [f"contents: {contents}", *(f"{scope}: write" for scope in written)]
    if given is None:
        yield _warning(
            job.line,
            "Without `permissions`, the token may or may not be allowed to comment, as the repository is set. "
            f"Write `permissions: {{{', '.join(needed)}}}` into the job.",
        )
        return
    if given.text == "write-all":
        message = f"`write-all` is more than the Action needs: {', '.join(f'`{one}`' for one in needed)}."
        yield _warning(given.line, message)
        return
    everything = given.text.removesuffix("-all")
    if step["with"]["comment"].text != "off" and (everything or given["pull-requests"].text) != "write":
        yield _error(given.line, "The comment needs `pull-requests: write`; or set `comment: off`.")
    if contents == "write" and (everything or given["contents"].text) != "write":
        yield _error(given.line, "`pictures: branch` needs `contents: write`.")
    for name, scope in more.items():
        if (everything or given[scope].text) != "write":
            yield _error(given.line, f"`{name}: true` needs `{scope}: write`.")
    if not step["with"]["attach"] and (everything or given["contents"].text) not in ("read", "write"):
        yield _error(given.line, "actions/checkout needs `contents: read`.")


def _version(uses: Field) -> Iterator[_Found]:
    ref = uses.text.partition("@")[2]
    ours = version("lightning-zenml").split(".")[0]
    name = uses.text.partition("@")[0]
    if ref in _BRANCHES:
        message = f"`@{ref}` is a branch: what runs may change any time. Use `{name}@v{ours}`, or a commit's hash."
        yield _warning(uses.line, message)
    elif (major := re.match(r"v?(\d+)(?:\.|$)", ref)) and major[1] != ours:
        message = f"This program knows version {ours} of the Action, not {major[1]}: use `{name}@v{ours}`."
        yield _warning(uses.line, message)


def _time(job: Field, step: Field) -> Iterator[_Found]:
    of_job, of_run = job["timeout-minutes"], step["with"]["timeout-minutes"]
    try:
        is_short = float(of_job.text) <= float(of_run.text)
    except ValueError:
        return
    if is_short:
        yield _warning(
            of_job.line,
            f"GitHub ends the job after {of_job.text} minutes, before the run's own `timeout-minutes: {of_run.text}` "
            "can end it in order. Give the job ten minutes more.",
        )


def _uses_lfs(root: Path) -> bool:
    try:
        return "filter=lfs" in (root / ".gitattributes").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _error(line: int, message: str) -> _Found:
    return line, Severity.ERROR, message


def _warning(line: int, message: str) -> _Found:
    return line, Severity.WARNING, message
