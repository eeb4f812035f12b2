"""What is told of a run, as Markdown: briefly in the pull request's comment, in full in the job summary.

Most of it was written by others (branch names, commands, log lines, names of steps), so the templates escape
whatever they are given: nothing of it is taken for Markdown or HTML, and nobody is mentioned.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

import jinja2
from markupsafe import Markup

from lightning_zenml.launch.spec import Failure

COMMENT_LIMIT = 65_536
"""Characters of a comment that GitHub takes; it refuses more (422)."""


class State(StrEnum):
    """Where a run stands, as far as a reader cares."""

    STARTING = "starting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """A step of a pipeline run; `status` is ZenML's, `duration` is in seconds."""

    name: str
    status: str
    duration: float | None = None
    machine: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """A pipeline run; `status` is ZenML's, `run_url` its page in ZenML, `orchestrator_url` its page at Lightning."""

    run_name: str
    pipeline: str | None = None
    run_url: str | None = None
    orchestrator_url: str | None = None
    status: str | None = None
    steps: tuple[StepReport, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that can be told at one time; None and empty: not known yet.

    Args:
        state: where the run stands.
        pipeline: its name, or the command as long as no run has begun.
        studio_name: at Lightning.
        studio_url: page of the studio.
        machine: that the studio is on.
        commit_sha: that runs.
        commit_url: page of the commit.
        branch: that the commit is on.
        leg: of the matrix.
        runs: pipeline runs that the command started.
        workflow_run_url: page of the workflow run.
        elapsed: seconds since the start.
        cost: US dollars so far.
        failure: why it failed.
        launch_id: of the launch.
        is_async: the workflow doesn't wait for the end.
        updated: when this was so.
    """

    state: State
    pipeline: str
    studio_name: str | None = None
    studio_url: str | None = None
    machine: str | None = None
    commit_sha: str | None = None
    commit_url: str | None = None
    branch: str | None = None
    leg: str | None = None
    runs: tuple[RunReport, ...] = ()
    workflow_run_url: str | None = None
    elapsed: float | None = None
    cost: float | None = None
    failure: Failure | None = None
    launch_id: str | None = None
    is_async: bool = False
    updated: datetime | None = None

    @property
    def orchestrator_url(self) -> str | None:
        """Page of the first run that has one."""
        return next((run.orchestrator_url for run in self.runs if run.orchestrator_url), None)

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in {State.STARTING, State.RUNNING}


def redacted(report: Report, redact: Callable[[str], str]) -> Report:
    """The report with `redact` applied to every text in it; later is too late, escaping changes secrets too."""
    return cast(Report, _redacted(report, redact))


def comment(report: Report, marker: str) -> str:
    """The comment: begins with the marker and fits GitHub's limit; what is too long is left out, the log first."""
    body = ""
    for shortened, candidate in enumerate(_ever_shorter(report)):
        body = _render("comment.md.j2", candidate, marker=Markup(marker), shortened=bool(shortened))  # noqa: S704
        if len(body) <= COMMENT_LIMIT:
            return body
    return body[: COMMENT_LIMIT - 1] + "…"


def summary(report: Report) -> str:
    """The job summary: everything there is."""
    return _render("summary.md.j2", report, shortened=False)


def _redacted(value: object, redact: Callable[[str], str]) -> object:
    if isinstance(value, str) and not isinstance(value, StrEnum):
        return redact(value)
    if isinstance(value, tuple):
        return tuple(_redacted(item, redact) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _redacted(getattr(value, field.name), redact) for field in fields(value)})
    return value


def _ever_shorter(report: Report) -> Iterator[Report]:
    yield report
    if report.failure:
        yield replace(report, failure=replace(report.failure, output=report.failure.output[-4_000:]))
        report = replace(report, failure=replace(report.failure, output=""))
        yield report
    report = replace(report, runs=tuple(replace(run, steps=()) for run in report.runs))
    yield report
    yield replace(report, runs=report.runs[:10])


def _render(template: str, report: Report, **context: Any) -> str:
    text = _ENVIRONMENT.get_template(template).render(report=report, **context)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


# Markdown has its own ways to link, to emphasise and to fence; as entities, characters do none of these. Not
# encoded is what is harmless inside a line; `@` needs more, as GitHub looks for mentions in the finished page.
_MARKUP = re.compile(r"[!-+:-@\[-`{-~]|(?<=[Ww])\.")
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_ZERO_WIDTH_SPACE = "&#8203;"
_LINE_LIMIT = 1_000


def _entities(value: object) -> str:
    line = " ".join(_TERMINAL.sub("", str(value)[: 10 * _LINE_LIMIT]).split())
    line = _INVISIBLE.sub("", line)
    if len(line) > _LINE_LIMIT:
        line = line[: _LINE_LIMIT - 1] + "…"
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", line)


def _text(value: object) -> Markup:
    """Untrusted text within a line."""
    # "@name" would notify, "#1" would leave a trace on another issue.
    quiet = re.sub(r"&#(?:64|35);", lambda match: match[0] + _ZERO_WIDTH_SPACE, _entities(value))
    return Markup(quiet)  # noqa: S704


def _code(value: object) -> Markup:
    """Untrusted text within a line, as code. GitHub looks for no mentions in there."""
    return Markup(f"<code>{_entities(value)}</code>")  # noqa: S704


def _block(value: object) -> Markup:
    """Untrusted lines, as a fenced block whose fence none of them can end."""
    lines = _TERMINAL.sub("", str(value)).replace("\r\n", "\n").strip("\n").split("\n")
    # What a carriage return has overwritten (progress bars) isn't to be seen in a terminal either.
    shown = "\n".join(_INVISIBLE.sub("", line.rstrip("\r").rsplit("\r", 1)[-1]) for line in lines)
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=2) + 1)
    fence = fence if len(fence) >= 3 else "```"
    return Markup(f"{fence}text\n{shown}\n{fence}")  # noqa: S704


def _link(url: str | None, label: Markup | str | None = None) -> Markup:
    """A link to a web page; only the label where it isn't one."""
    shown = label if isinstance(label, Markup) else _text(url if label is None else label)
    try:
        is_page = urlsplit(url or "").scheme in {"http", "https"}
    except ValueError:
        is_page = False
    if not is_page:
        return shown
    # Safe are an address's characters that mean nothing in Markdown; without `;` there are no entities either.
    target = quote(str(url).encode(errors="replace"), safe=":/?#[]@!$&'*+,=%-._~")
    return Markup(f"[{shown}]({target})")  # noqa: S704


def _duration(seconds: float | None) -> str:
    whole = int(max(seconds or 0, 0))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def _dollars(amount: float) -> str:
    return "less than $0.01" if 0 < amount < 0.01 else f"${amount:.2f}"


def _moment(moment: datetime) -> Markup:
    return Markup(moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"))  # noqa: S704


_EMOJIS = {
    "starting": "🚀",
    "initializing": "🚀",
    "provisioning": "🚀",
    "running": "🏃",
    "retrying": "🔁",
    "completed": "✅",
    "cached": "♻️",
    "skipped": "⏭️",
    "failed": "❌",
    "stopping": "⏹️",
    "stopped": "⏹️",
    "cancelled": "🚫",
}


def _emoji(status: str | None) -> str:
    return _EMOJIS.get(str(status), "•")


def _status(status: str | None) -> Markup:
    return Markup(f"{_emoji(status)} {_text(status or 'unknown')}")  # noqa: S704


def _escape_unless_marked(value: object) -> Markup:
    return value if isinstance(value, Markup) else _text("" if value is None else value)


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    finalize=_escape_unless_marked,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_ENVIRONMENT.filters.update(
    block=_block,
    code=_code,
    dollars=_dollars,
    duration=_duration,
    emoji=_emoji,
    moment=_moment,
    shell=shlex.quote,
    status=_status,
)
_ENVIRONMENT.globals.update(link=_link)
