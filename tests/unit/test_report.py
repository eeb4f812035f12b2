"""The comment and the summary: golden files for how they look, a real Markdown parser for what can't break out.

`UPDATE_GOLDEN=1 pytest tests/unit/test_report.py` writes the golden files anew; read the diff.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lightning_zenml.action.github.workflow import SUMMARY_LIMIT
from lightning_zenml.action.report import (
    COMMENT_LIMIT,
    ArtifactReport,
    BaseReport,
    CourseReport,
    CurveReport,
    JobReport,
    MetricReport,
    Outcome,
    Report,
    RuleReport,
    RunReport,
    State,
    StepReport,
    Verdict,
    comment,
    redacted,
    summary,
)
from lightning_zenml.action.report.mermaid import graph, timeline
from lightning_zenml.codes import Code
from lightning_zenml.launch.payload.usage.records import GpuUsage, Usage
from lightning_zenml.launch.spec import Failure, Phase

GOLDEN = Path(__file__).parents[1] / "golden"
MARKER = "<!-- lightning-zenml: CI / train -->"
STUDIO_URL = "https://lightning.ai/octo/research/studios/ci"
JOB_URL = f"{STUDIO_URL}/app?app_id=jobs&job_name=train_cnn-1"
RUN_URL = f"{STUDIO_URL}/code"

STARTING = Report(
    state=State.STARTING,
    pipeline="python run.py",
    commit_sha="0123456789abcdef0123456789abcdef01234567",
    commit_url="https://github.com/octo/repo/commit/0123456789abcdef0123456789abcdef01234567",
    branch="feature/better_model",
    workflow_run_url="https://github.com/octo/repo/actions/runs/77",
    launch_id="5f0c9a1e",
    updated=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)
BEGUN = datetime(2026, 1, 2, 2, 59, 0, tzinfo=UTC)
STEPS = (
    StepReport(name="load", status="cached", start=BEGUN, duration=0.2, machine="T4"),
    StepReport(name="split", status="completed", start=BEGUN + timedelta(seconds=4), duration=21.9, machine="T4"),
    StepReport(
        name="train_cnn",
        status="running",
        start=BEGUN + timedelta(seconds=26),
        duration=161.2,
        machine="A100",
        job_url=JOB_URL,
    ),
    StepReport(name="train_tree", status="running", start=BEGUN + timedelta(seconds=27), duration=160.2, machine="T4"),
    StepReport(name="evaluate", status="waiting"),
)
EDGES = (
    ("load", "split"),
    ("split", "train_cnn"),
    ("split", "train_tree"),
    ("train_cnn", "evaluate"),
    ("train_tree", "evaluate"),
)
RUNNING = replace(
    STARTING,
    state=State.RUNNING,
    pipeline="training",
    studio_name="ci",
    studio_url=STUDIO_URL,
    machine="T4",
    elapsed=185.4,
    cost=0.004,
    runs=(
        RunReport(
            run_name="training-2026_01_02",
            pipeline="training",
            run_url="https://zenml.example/projects/default/runs/1",
            orchestrator_url=RUN_URL,
            status="running",
            steps=STEPS,
            edges=EDGES,
        ),
    ),
)
USAGE = Usage(
    since=0.0,
    until=6_990.0,
    samples=1_398,
    cpus=16.0,
    cpu=12.5,
    memory=123.4e9,
    memory_peak=9.87e9,
    gpus=(GpuUsage(index=0, name="NVIDIA A100", samples=1_398, busy=9.4, memory=85.9e9, memory_peak=6.1e9),),
)
ENDED = (
    *STEPS[:2],
    replace(STEPS[2], status="completed", duration=7_000, usage=USAGE),
    replace(STEPS[3], status="completed", duration=312),
    StepReport(
        name="evaluate", status="completed", start=BEGUN + timedelta(seconds=7_030), duration=12.4, machine="T4"
    ),
)
METRICS = (
    MetricReport(name="accuracy", source="step evaluate", value=0.9737, base=0.9612, verdict=Verdict.BETTER),
    MetricReport(name="val_loss", source="step train_cnn", value=0.1234567, base=0.1187, verdict=Verdict.WORSE),
    MetricReport(name="f1", source="model digits", value=0.9731, base=0.9731, verdict=Verdict.SAME),
    MetricReport(name="rows", source="step load", value=1_797, base=1_750),
    MetricReport(name="learning_rate", source="step train_cnn", value=3e-5),
)
BASE = BaseReport(
    branch="main",
    run_name="training-2026_01_01",
    run_url="https://zenml.example/projects/default/runs/0",
    commit_sha="fedcba9876543210fedcba9876543210fedcba98",
)
COMPLETED = replace(
    RUNNING,
    state=State.COMPLETED,
    elapsed=7_512.0,
    cost=3.456,
    jobs=(JobReport(step="train_cnn", machine="A100", url=JOB_URL, cost=2.8),),
    advice=("`train_cnn` on A100: peak 6.1 of 86 GB, 9 % busy. An L4 would do: about $6.70 less a run.",),
    runs=(
        replace(
            RUNNING.runs[0],
            status="completed",
            steps=ENDED,
            metrics=METRICS,
            base=BASE,
            artifacts=(
                ArtifactReport(
                    name="best_model",
                    version="12",
                    type="ModelArtifact",
                    url="https://zenml.example/projects/default/runs/1",
                    uri="s3://artifacts/evaluate/best_model/9f",
                ),
                ArtifactReport(name="train_images", version="3", type="DataArtifact"),
            ),
        ),
    ),
)
CURVES = (
    CurveReport(
        name="val_loss",
        source="step train_cnn",
        axis="epoch",
        start=1,
        step=1,
        own=CourseReport(
            values=(0.92, 0.61, 0.44, 0.33, 0.27, 0.21, 0.18, 0.15, 0.131, 0.1234, 0.1256, 0.1235),
            final=0.1234567,
            best=0.1234,
            best_at=10,
        ),
        base=CourseReport(
            values=(0.95, 0.72, 0.56, 0.43, 0.35, 0.28, 0.23, 0.19, 0.17, 0.17, 0.17, 0.17),
            final=0.17,
            best=0.17,
            best_at=9,
        ),
    ),
    CurveReport(
        name="learning_rate",
        source="step train_cnn",
        axis="",
        start=0,
        step=100,
        own=CourseReport(values=(1e-4, 3e-4, 2.5e-4, 1e-4, 3e-5), final=3e-5),
        is_chosen=False,
    ),
)
SECOND_RUN = RunReport(
    run_name="inference-1",
    status="completed",
    steps=(StepReport(name="predict", status="completed", start=BEGUN + timedelta(hours=2), duration=4.0),),
    metrics=(MetricReport(name="predictions", source="run", value=450),),
    base=BaseReport(branch="main"),
)
FAILS_A_RULE = replace(
    COMPLETED,
    rules=(
        RuleReport(
            rule="val_loss > base + 2 %",
            outcome=Outcome.FAILED,
            reason="`val_loss` (step train_cnn) is 0.123457, that of the base branch 0.1187, so the limit is 0.121074",
        ),
        RuleReport(
            rule="accuracy drops",
            outcome=Outcome.PASSED,
            reason="`accuracy` (step evaluate) is 0.9737, that of the base branch 0.9712, with noise of ±0.0041",
        ),
        RuleReport(rule="auc < 0.9", outcome=Outcome.OPEN, reason="not yet"),
    ),
    runs=(
        replace(
            COMPLETED.runs[0],
            metrics=(
                replace(METRICS[0], base=0.9712, verdict=Verdict.NOISE, noise=0.0041, base_runs=5),
                replace(METRICS[1], noise=0.0021, base_runs=5),
                *METRICS[2:],
            ),
            base=replace(BASE, centre="mean", runs=5, wanted=5, age=40 * 86_400.0, commits=12, is_stale=True),
        ),
    ),
)
COMMAND_FAILED = replace(
    STARTING,
    state=State.FAILED,
    studio_name="ci",
    studio_url=STUDIO_URL,
    machine="CPU",
    elapsed=42.0,
    failure=Failure(
        code=Code.COMMAND,
        phase=Phase.COMMANDS,
        message="The command exited with 1.",
        command="pip install -r requirements.txt",
        exit_code=1,
        output="Collecting torch\n\x1b[31mERROR: No matching distribution\x1b[0m\n  0%|  |\r100%|##|\n```\nend\n",
    ),
)
TRACEBACK = """Traceback (most recent call last):
  File "pipeline.py", line 41, in train_cnn
    raise ValueError("the loss is NaN")
ValueError: the loss is NaN"""
STEP_FAILED = replace(
    RUNNING,
    state=State.FAILED,
    failure=Failure(
        phase=Phase.RUNNING, message="Step `train_cnn` failed: the loss is NaN", output=TRACEBACK, code=Code.STEP
    ),
    runs=(
        replace(
            RUNNING.runs[0],
            status="failed",
            steps=(
                *STEPS[:2],
                replace(STEPS[2], status="failed", log="epoch 1: loss 2.31\nepoch 2: loss nan"),
                replace(STEPS[3], status="stopped"),
                replace(STEPS[4], status="skipped"),
            ),
        ),
    ),
)
REPORTS = {
    "starting": STARTING,
    "running": RUNNING,
    "async": replace(RUNNING, is_async=True),
    "not_stopped_by_cancel": replace(RUNNING, stops_on_cancel=False),
    "studio_deleted": replace(COMPLETED, studio_deleted=True),
    "paused": replace(
        RUNNING,
        state=State.PAUSED,
        failure=Failure(phase=Phase.RUNNING, message="The pipeline run `training-2026_01_02` is paused."),
    ),
    "completed": COMPLETED,
    "fails_a_rule": FAILS_A_RULE,
    "curves": replace(COMPLETED, runs=(replace(COMPLETED.runs[0], curves=CURVES),)),
    "two_runs": replace(COMPLETED, runs=(*COMPLETED.runs, SECOND_RUN)),
    "command_failed": COMMAND_FAILED,
    "step_failed": STEP_FAILED,
    "stopped": replace(
        RUNNING, state=State.STOPPED, failure=Failure(phase=Phase.RUNNING, message="The run was stopped.")
    ),
    "cancelled": replace(STARTING, state=State.CANCELLED),
}


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_comment_golden(name: str) -> None:
    check_golden(f"comment_{name}.md", comment(REPORTS[name], MARKER))


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_summary_golden(name: str) -> None:
    check_golden(f"summary_{name}.md", summary(REPORTS[name]))


def test_what_four_runs_share_stands_once() -> None:
    runs = tuple(
        replace(SECOND_RUN, run_name=f"r-{n}", pipeline=f"p{n}", orchestrator_url="https://l.example/ci")
        for n in range(4)
    )
    text = comment(replace(COMPLETED, runs=runs), MARKER)
    assert text.count("**Orchestrator URL**") == 1
    assert "<code>p0</code>, <code>p1</code>, <code>p2</code> and 1 more completed" in text
    assert [text.count(f"| r-{n} | <code>p{n}</code> |") for n in range(4)] == [1] * 4


class Page(HTMLParser):
    """What a browser would make of the rendered Markdown."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.mentionable = ""
        self._quiet = 0
        self.feed(MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(markdown))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        self._quiet += tag in {"code", "pre"}

    def handle_endtag(self, tag: str) -> None:
        self._quiet -= tag in {"code", "pre"}

    def handle_data(self, data: str) -> None:
        self.text += data
        self.mentionable += "" if self._quiet else data


def test_page_shows_the_orchestrator_url_as_a_link() -> None:
    page = Page(comment(RUNNING, MARKER))
    assert page.links.count(RUN_URL) == 2
    assert RUN_URL in page.text


def test_page_is_tables_and_a_log() -> None:
    page = Page(comment(COMMAND_FAILED, MARKER))
    assert {"table", "details", "summary", "pre"} <= set(page.tags)
    assert "100%|##|\n```\nend" in page.text
    assert "ERROR: No matching distribution\n" in page.text
    assert MARKER not in page.text


def hostile(text: str) -> Report:
    step = StepReport(name=text, status=text, machine=text, job_url=text, start=BEGUN, duration=1, log=text)
    run = RunReport(
        run_name=text,
        run_url=text,
        orchestrator_url=text,
        status=text,
        steps=(step, step),
        edges=((text, text),),
        metrics=(MetricReport(name=text, source=text, value=1, base=2),),
        curves=(
            CurveReport(
                name=text,
                source=text,
                axis=text,
                start=1,
                step=1,
                own=CourseReport(values=(1, 2), final=1, best=1, best_at=1),
                base=CourseReport(values=(1, 2), final=1, best=1, best_at=1),
            ),
        ),
        base=BaseReport(branch=text, run_name=text, run_url=text, commit_sha=text),
        artifacts=(ArtifactReport(name=text, version=text, type=text, url=text, uri=text),),
    )
    return Report(
        state=State.FAILED,
        pipeline=text,
        studio_name=text,
        studio_url=text,
        machine=text,
        commit_sha=text,
        commit_url=text,
        branch=text,
        leg=text,
        runs=(run, run),
        jobs=(JobReport(step=text, machine=text, url=text, cost=1),),
        rules=(RuleReport(rule=text, outcome=Outcome.FAILED, reason=text),),
        workflow_run_url=text,
        failure=Failure(phase=Phase.RUNNING, message=text, command=text, exit_code=1, output=f"! {text}"),
        launch_id=text,
    )


HOSTILE = st.text(alphabet="`~*_[]()<>|\\!#@&;:/.-+=\"'$ \n\r\taw1é\x1b", max_size=40)


@settings(max_examples=150)
@given(HOSTILE)
@example("@alice")
@example("#1 octo/repo#2")
@example("</details></summary><script>alert(1)</script>")
@example("<!-- x --><img src=x onerror=y>")
@example("`` ` ``` ```` ```")
@example("\n```\n````\n\n</details>\n\n# Heading\n")
@example("a\\|b|c")
@example("[x](https://evil.example)")
@example("![x](https://evil.example/x.png)")
@example("https://evil.example www.evil.example")
@example("https://evil.example/) [x](https://evil2.example")
@example("https://x/\n\n# y")
@example("javascript:alert(1)")
@example("&lt;b&gt; &#64;alice")
@example("\x1b]8;;https://evil.example\x07x\x1b]8;;\x07")
def test_hostile_text_stays_text(text: str) -> None:
    page = Page(summary(hostile(text)))
    assert structure(page) == harmless_structure(bool(text))
    assert all(link.startswith(("http://", "https://")) for link in page.links)
    assert not page.links or text.lower().startswith(("http:", "https:"))
    assert not re.search(r"[@#][0-9A-Za-z]", page.mentionable)


def structure(page: Page) -> list[str]:
    """The page's tags, but for links (of which there are as many as addresses) and code (what a message quotes)."""
    return [tag for tag in page.tags if tag not in {"a", "code"}]


@cache
def harmless_structure(known: bool) -> list[str]:
    """That of a report whose texts are harmless, or empty: facts without a text are left out."""
    return structure(Page(summary(hostile("x" if known else ""))))


@given(HOSTILE, HOSTILE)
@example('"]; click s0 call alert()', "`x`")
@example("end", "title x")
@example("%%{init: {'theme': 'dark'}}%%", "section x")
@example("a:done, 1, 2", "#quot;<b>x</b>")
@example("\u2028\u2029x", "数据 загрузка")
def test_names_in_diagrams_mean_nothing_to_mermaid(name: str, other: str) -> None:
    steps = tuple(StepReport(name=n, status="failed", start=BEGUN, duration=1.5) for n in (name, f"{other} "))
    run = RunReport(run_name="x", steps=steps, edges=((name, f"{other} "),))
    icon = "I"
    nodes = rf'( *s\d+\["{icon} [\w .+-]+"\]:::failed\n){{2}}'
    assert re.fullmatch(
        rf"flowchart LR\n{nodes}  s\d+ --> s\d+\n  classDef failed .*", graph(run, lambda _: icon) or ""
    )
    bars = rf"(\n  {icon} [\w .+-]+ :crit, \d+, \d+){{2}}"
    assert re.fullmatch(
        rf"gantt\n  title [^\n]*\n  dateFormat x\n  axisFormat [^\n]*\n  tickInterval 1second{bars}",
        timeline(run, lambda _: icon) or "",
    )


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [(3, "1second"), (15, "2second"), (100, "15second"), (3600, "10minute"), (86_400, "3hour"), (2_000_000, "1week")],
)
def test_the_times_below_a_timeline_stand_beside_each_other(seconds: float, ticks: str) -> None:
    steps = tuple(StepReport(name=n, status="completed", start=BEGUN, duration=seconds) for n in "ab")
    assert f"\n  tickInterval {ticks}\n" in (timeline(RunReport(run_name="x", steps=steps), lambda _: "I") or "")


def test_a_long_chain_is_drawn_from_top_to_bottom_and_a_huge_one_not_at_all() -> None:
    names = [f"step_{number}" for number in range(101)]
    steps = tuple(StepReport(name=name, status="waiting") for name in names)
    edges = tuple(pairwise(names))
    few = RunReport(run_name="x", steps=steps[:5], edges=edges[:4])
    assert str(graph(few, str)).startswith("flowchart LR")
    assert str(graph(replace(few, steps=steps[:6], edges=edges[:5]), str)).startswith("flowchart TD")
    assert graph(RunReport(run_name="x", steps=steps, edges=edges), str) is None
    assert timeline(few, str) is None


def test_a_message_shows_what_it_quotes_as_code() -> None:
    told = replace(STARTING, failure=Failure(phase=Phase.RUNNING, message="Step `a_<b>` of @bob failed"))
    assert "Step <code>a&#95;&#60;b&#62;</code> of &#64;&#8203;bob failed" in comment(told, MARKER)
    issue = replace(STARTING, failure=Failure(phase=Phase.RUNNING, message="see GH-12"))
    assert "see GH-&#8203;12" in comment(issue, MARKER)
    unbalanced = replace(STARTING, failure=Failure(phase=Phase.RUNNING, message="a ` stray one"))
    assert "a &#96; stray one" in comment(unbalanced, MARKER)


@pytest.mark.parametrize(
    ("value", "base", "shown"),
    [
        (0.9737, 0.9612, "0.9737 | 0.9612 | ↑ 0.0125 (1.3 %)"),
        (0.1234567, 0.1187, "0.12346 | 0.1187 | ↑ 0.00476 (4.0 %)"),
        (1_797, 1_750, "1,797 | 1,750 | ↑ 47 (2.7 %)"),
        (-2.5, 0, "-2.5 | 0 | ↓ 2.5"),
        (3e-5, 2e-5, "3e-05 | 2e-05 | ↑ 1e-05 (50.0 %)"),
        (123_456.78, 2e9, "123,456.8 | 2e+09 | ↓ 2e+09 (100.0 %)"),
        (5, 5, "5 | 5 | = no change"),
        (1, None, "1 |  | new"),
    ],
)
def test_numbers(value: float, base: float | None, shown: str) -> None:
    metric = MetricReport(name="x", source="run", value=value, base=base)
    run = RunReport(run_name="r", metrics=(metric,), base=BaseReport(branch="main", run_name="b"))
    assert f"| {shown} |" in comment(replace(RUNNING, runs=(run,)), MARKER)


@pytest.mark.parametrize("text", ["www.evil.example", "see WWW.evil.example", "https://evil.example", "x ftp://evil"])
def test_github_finds_no_address_to_link(text: str) -> None:
    # GitHub's Markdown links bare addresses, which the parser of these tests doesn't.
    told = replace(STARTING, branch=text, failure=Failure(phase=Phase.RUNNING, message=text, command=text))
    assert not re.search(r"(?i)www\.|\w://evil", summary(told))


def test_redacted_reaches_every_text_before_it_is_escaped() -> None:
    secret = "se_cr+et="
    report = redacted(hostile(f"x {secret}"), lambda text: text.replace(secret, "***"))
    assert report == hostile("x ***")
    assert report.state is State.FAILED
    assert "***" in Page(summary(report)).text


def test_too_long_a_log_is_left_out_before_the_steps() -> None:
    assert STEP_FAILED.failure
    long_log = replace(STEP_FAILED, failure=replace(STEP_FAILED.failure, output="first\n" + "x" * 70_000))
    body = comment(long_log, MARKER)
    assert len(body) <= COMMENT_LIMIT
    assert body.startswith(MARKER)
    assert "first" not in body
    assert "x" * 4_000 in body
    assert "evaluate" in body
    assert "Shortened: the [job summary](https://github.com/octo/repo/actions/runs/77)" in body
    assert "first" in summary(long_log)


def test_of_too_many_steps_the_failed_ones_stay() -> None:
    statuses = ["completed"] * 999 + ["failed"]
    steps = tuple(StepReport(name=f"step_{n}_{'y' * 100}", status=status) for n, status in enumerate(statuses))
    body = comment(replace(COMPLETED, runs=(replace(COMPLETED.runs[0], steps=steps),)), MARKER)
    assert len(body) <= COMMENT_LIMIT
    assert body.count("yyyy<") == 50
    assert "step&#95;999&#95;" in body
    assert RUN_URL.split("&")[0] in body


def test_comment_and_summary_fit_whatever_they_hold() -> None:
    lines, words, letters = (hostile(text * 20_000) for text in ("`|\n", "`|", "é\u4e2d"))
    for report in (lines, words, letters, replace(letters, runs=letters.runs * 20, jobs=letters.jobs * 20)):
        body = comment(report, MARKER)
        assert len(body) <= COMMENT_LIMIT
        assert body.startswith(MARKER)
        assert len(summary(report).encode()) <= SUMMARY_LIMIT


@pytest.mark.parametrize(("steps", "metrics"), [(3, 2), (12, 30), (60, 100)])
def test_of_twenty_runs_each_is_told_and_the_failed_one_with_its_log(steps: int, metrics: int) -> None:
    def run(number: int) -> RunReport:
        status = "failed" if number == 17 else "completed"
        log = "the loss is NaN\n" * 30 if status == "failed" else ""
        return replace(
            COMPLETED.runs[0],
            run_name=f"nightly_training-2026_01_02-03_04_05-{number:06}",
            run_url=f"https://zenml.example/projects/default/runs/{number:036}",
            pipeline=f"nightly_training_{number}",
            status=status,
            steps=tuple(replace(STEPS[1], name=f"step_{n}", status=status, log=log) for n in range(steps)),
            edges=tuple((f"step_{n}", f"step_{n + 1}") for n in range(steps - 1)),
            metrics=tuple(replace(METRICS[0], name=f"metric_{n}") for n in range(metrics)),
        )

    report = replace(STEP_FAILED, runs=tuple(map(run, range(20))))
    body, told = comment(report, MARKER), summary(report)
    assert len(body) <= COMMENT_LIMIT
    assert len(told.encode()) <= SUMMARY_LIMIT
    for markdown in (body, told):
        for number in range(20):
            assert f"| <code>nightly&#95;training&#95;{number}</code> |" in markdown
        assert markdown.count("❌ failed |") >= 1
        assert "the loss is NaN" in markdown
    assert f"metric&#95;{min(metrics, 10) - 1}<" in told


def test_a_full_summary_keeps_more_than_a_full_comment() -> None:
    steps = tuple(StepReport(name=f"step_{n}", status="failed", log=f"log {n}\n" * 1_000) for n in range(20))
    report = replace(STEP_FAILED, runs=(replace(STEP_FAILED.runs[0], steps=steps),))
    assert summary(report).count("log 7\n") == 1_000
    assert comment(report, MARKER).count("log 7\n") == 20


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (0.26, "0.3 s"), (59.9, "59 s"), (60, "1 min 00 s"), (3_599, "59 min 59 s"), (3_661, "1 h 01 min")],
)
def test_elapsed(seconds: float, shown: str) -> None:
    assert f"| **Elapsed** | {shown} |" in comment(replace(STARTING, elapsed=seconds), MARKER)
