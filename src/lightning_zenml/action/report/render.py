"""Comment, check run and job summary, made from a report by the templates, within GitHub's limits."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import jinja2
from markupsafe import Markup

from lightning_zenml.action.github.check_runs import OUTPUT_LIMIT
from lightning_zenml.action.github.workflow import SUMMARY_LIMIT
from lightning_zenml.action.report import markdown, mermaid
from lightning_zenml.action.report.model import Report, RunReport
from lightning_zenml.action.report.numbers import CourseReport, CurveReport, MetricReport
from lightning_zenml.action.report.shorter import ever_shorter
from lightning_zenml.action.report.usage import words
from lightning_zenml.action.report.visualizations.sanitised import sanitised
from lightning_zenml.codes import known

COMMENT_LIMIT = 65_536
"""Characters of a comment that GitHub takes; it refuses more (422)."""

_IN_A_COMMENT = {"rows": 30, "log_lines": 20, "charts": 3, "in_comment": True} | {
    "visualizations": 4,
    "table_rows": 5,
    "columns": 6,
    "lines": 20,
    "characters": 1_500,
}
_IN_A_SUMMARY = {"rows": 500, "log_lines": 1_000, "charts": 30, "in_comment": False} | {
    "visualizations": 20,
    "table_rows": 20,
    "columns": 12,
    "lines": 200,
    "characters": 10_000,
}
"""Most metrics of a run, most lines of a step's log, and most curves that are drawn of a run; most visualizations of a
run, and most of what each of them holds."""
_BARS = "▁▂▃▄▅▆▇█"
_SPARKS = 12
"""Characters of a curve in a line of text."""
_LONGEST_CELL = 60


def comment(report: Report, marker: str) -> str:
    """The comment: begins with the marker and fits GitHub's limit; what is too long is left out, logs first.

    Args:
        report: all that is known of the run.
        marker: first line of the comment.
    """
    first_line = Markup(marker)  # noqa: S704
    return _first_that_fits(
        report,
        lambda candidate, shortened: _render(
            "comment.md.j2", report=candidate, marker=first_line, shortened=shortened, **_IN_A_COMMENT
        ),
        lambda body: len(body) <= COMMENT_LIMIT,
    )


def summary(report: Report) -> str:
    """The job summary: everything there is, within the runner's limit.

    Args:
        report: all that is known of the run.
    """
    return _first_that_fits(
        report,
        lambda candidate, shortened: _render("summary.md.j2", report=candidate, shortened=shortened, **_IN_A_SUMMARY),
        lambda body: len(body.encode(errors="replace")) <= SUMMARY_LIMIT,
    )


def check(report: Report) -> str:
    """The summary of a check run: what the comment tells, within GitHub's limit.

    Args:
        report: all that is known of the run.
    """
    return _first_that_fits(
        report,
        lambda candidate, shortened: _render(
            "comment.md.j2", report=candidate, marker="", shortened=shortened, **_IN_A_COMMENT
        ),
        lambda body: len(body.encode(errors="replace")) <= OUTPUT_LIMIT,
    )


def _first_that_fits(report: Report, render: Callable[[Report, bool], str], fits: Callable[[str], bool]) -> str:
    for step, candidate in enumerate(ever_shorter(report)):
        body = render(candidate, step > 0)
        if fits(body):
            return body
    # Each text is of limited length, and this report holds but a few.
    return render(Report(state=report.state, pipeline=report.pipeline[:100], launch_id=report.launch_id), True)


def rendered(template: str, *, marker: str, **context: object) -> str:
    """A comment by a template of its own.

    Args:
        template: name of the template.
        marker: first lines of the comment, which are ours.
        context: what the template shows, others' words perhaps, which it escapes.
    """
    return _render(template, marker=Markup(marker), **context)  # noqa: S704


def _render(template: str, **context: object) -> str:
    text = _ENVIRONMENT.get_template(template).render(**context)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _duration(seconds: float) -> str:
    if 0 < seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(max(seconds, 0))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def _dollars(amount: float) -> str:
    return "less than $0.01" if 0 < amount < 0.01 else f"${amount:.2f}"


def _moment(moment: datetime) -> Markup:
    return Markup(moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"))  # noqa: S704


def _first_lines(text: str, most: int, characters: int) -> str:
    lines = text[:characters].splitlines()
    return "\n".join(lines[:most] + (["…"] if len(lines) > most or len(text) > characters else []))


def _number(value: float, digits: int = 5) -> Markup:
    """A number, as short as it can be read; whole ones in full."""
    size = abs(value)
    if not math.isfinite(value):
        return Markup("NaN" if math.isnan(value) else "∞" if value > 0 else "-∞")  # noqa: S704
    if isinstance(value, int) and size < 1e15:
        shown = f"{value:,}"
    elif 10_000 <= size < 1e7:
        shown = f"{value:,.1f}"
    else:
        shown = f"{value:.{digits}g}"
    return Markup(shown)  # noqa: S704


def _difference(metric: MetricReport) -> Markup:
    """How far a metric is from the base branch's, e.g. `↑ 0.0124 (1.3 %) 🟢 better (5 runs, ±0.004)`."""
    if metric.base is None:
        return Markup("new")
    verdict = {"better": " 🟢 better", "worse": " 🔴 worse", "noise": " within noise"}.get(metric.verdict or "", "")
    if math.isfinite(metric.value) != math.isfinite(metric.base):
        change = "a finite number again" if math.isfinite(metric.value) else "no finite number any more"
        return Markup(change + verdict)  # noqa: S704
    if not math.isfinite(metric.value):
        return Markup("= no finite number")
    difference = metric.value - metric.base
    if math.isclose(metric.value, metric.base, rel_tol=1e-12):
        return Markup("= no change")
    share = f" ({abs(difference / metric.base):.1%})" if metric.base else ""
    shown = f"{'↑' if difference > 0 else '↓'} {_number(abs(difference), digits=3)}{share.replace('%', ' %')}"
    return Markup(shown + verdict + _noise(metric))  # noqa: S704


def _beside(value: float, base: float) -> Markup:
    """The base branch's value, and how far another is from it, e.g. `↑ 0.0124 from 0.918`."""
    if not (math.isfinite(value) and math.isfinite(base)):
        return Markup(f"from {_number(base)}")  # noqa: S704
    if math.isclose(value, base, rel_tol=1e-12):
        return Markup("no change")
    return Markup(f"{'↑' if value > base else '↓'} {_number(abs(value - base), digits=3)} from {_number(base)}")  # noqa: S704


def _noise(metric: MetricReport) -> str:
    """What the verdict stands on, e.g. ` (5 runs, ±0.004)`."""
    if metric.noise is None:
        return ""
    runs = f"{metric.base_runs} runs" if metric.own_runs == 1 else f"{metric.own_runs} against {metric.base_runs} runs"
    return f" ({runs}, ±{_number(metric.noise, digits=2)})"


def _spark(course: CourseReport, curve: CurveReport) -> str:
    """A curve in a line of text, as high as the other one beside it: it is there where no chart is drawn."""
    both = curve.own.values + (curve.base.values if curve.base else ())
    values = course.values
    if not values:
        return ""
    low, high = min(both), max(both)
    number = min(len(values), _SPARKS)
    parts = (values[at * len(values) // number : (at + 1) * len(values) // number] for at in range(number))
    means = [math.fsum(part) / len(part) for part in parts]
    return "".join(_BARS[round((mean - low) / (high - low) * 7) if high > low else 3] for mean in means)


def _best(course: CourseReport, curve: CurveReport) -> Markup:
    """The best value and when that was, e.g. `0.12 at epoch 7`."""
    if course.best is None or course.best_at is None:
        return Markup("")
    return Markup(" ").join(
        [_number(course.best), "at", *([markdown.text(curve.axis)] if curve.axis else []), _number(course.best_at)]
    )


def _age(seconds: float) -> str:
    days, hours = int(seconds // 86_400), int(seconds // 3_600)
    number, unit = (days, "day") if days else (hours, "hour") if hours else (0, "")
    return f"{number} {unit}{'s' if number > 1 else ''} old" if unit else "less than an hour old"


_EMOJIS = {
    "waiting": "🕒",
    "starting": "🚀",
    "initializing": "🚀",
    "provisioning": "🚀",
    "running": "🏃",
    "retrying": "🔁",
    "completed": "✅",
    "cached": "♻️",
    "skipped": "⏭️",
    "failed": "❌",
    "failing a rule": "❌",
    "stopping": "⏹️",
    "stopped": "⏹️",
    "paused": "⏸️",
    "cancelled": "🚫",
}


def _emoji(status: str | None) -> str:
    return _EMOJIS.get(str(status), "•")


def _status(status: str | None) -> Markup:
    return Markup(f"{_emoji(status)} {markdown.text(status or 'unknown')}")  # noqa: S704


def _graph(run: RunReport) -> Markup:
    drawn = mermaid.graph(run, _emoji)
    return markdown.block(drawn, "mermaid") if drawn else Markup("")


def _timeline(run: RunReport) -> Markup:
    drawn = mermaid.timeline(run, _emoji)
    return markdown.block(drawn, "mermaid") if drawn else Markup("")


def _chart(curve: CurveReport) -> Markup:
    drawn = mermaid.chart(curve)
    return markdown.block(drawn, "mermaid") if drawn else Markup("")


def _escape_unless_marked(value: object) -> Markup:
    return value if isinstance(value, Markup) else markdown.text("" if value is None else value)


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    finalize=_escape_unless_marked,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_ENVIRONMENT.filters.update(
    age=_age,
    beside=lambda metric: _beside(metric.value, metric.base),
    best=_best,
    block=markdown.block,
    chart=_chart,
    cores=words.cores,
    cell=lambda value: markdown.text(markdown.plain(value, _LONGEST_CELL)),
    code=markdown.code,
    difference=_difference,
    dollars=_dollars,
    duration=_duration,
    emoji=_emoji,
    first_lines=_first_lines,
    gpu_memory=words.gpu_memory,
    gpus=words.gpus,
    graph=_graph,
    kind=lambda code: known(code, None),
    last_lines=lambda text, lines: "\n".join(text.splitlines()[-lines:]),
    memory=words.memory,
    message=markdown.message,
    moment=_moment,
    number=_number,
    sanitised=sanitised,
    safe_join=lambda parts: Markup(", ").join(parts),
    shell=shlex.quote,
    spark=_spark,
    status=_status,
    timeline=_timeline,
)
_ENVIRONMENT.globals.update(image=markdown.image, link=markdown.link)
