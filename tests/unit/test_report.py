"""The comment and the summary: golden files for how they look, a real Markdown parser for what can't break out.

`UPDATE_GOLDEN=1 pytest tests/unit/test_report.py` writes the golden files anew; read the diff.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lightning_zenml.action.report import (
    COMMENT_LIMIT,
    Report,
    RunReport,
    State,
    StepReport,
    comment,
    redacted,
    summary,
)
from lightning_zenml.launch.spec import Failure, Phase

GOLDEN = Path(__file__).parent / "golden"
MARKER = "<!-- lightning-zenml: CI / train -->"
STUDIO_URL = "https://lightning.ai/octo/research/studios/ci"
RUN_URL = f"{STUDIO_URL}/app?app_id=jobs&job_name=training-1"

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
            steps=(
                StepReport(name="load", status="cached"),
                StepReport(name="fit", status="running", duration=61.2, machine="A100"),
            ),
        ),
    ),
)
COMPLETED = replace(
    RUNNING,
    state=State.COMPLETED,
    elapsed=7_512.0,
    cost=3.456,
    runs=(
        replace(
            RUNNING.runs[0],
            status="completed",
            steps=(
                StepReport(name="load", status="cached"),
                StepReport(name="fit", status="completed", duration=7_000, machine="A100"),
            ),
        ),
        RunReport(run_name="inference-1", status="completed", steps=(StepReport(name="predict", status="completed"),)),
    ),
)
FAILED = replace(
    STARTING,
    state=State.FAILED,
    studio_name="ci",
    studio_url=STUDIO_URL,
    machine="CPU",
    elapsed=42.0,
    failure=Failure(
        phase=Phase.COMMANDS,
        message="The command exited with 1.",
        command="pip install -r requirements.txt",
        exit_code=1,
        output="Collecting torch\n\x1b[31mERROR: No matching distribution\x1b[0m\n  0%|  |\r100%|##|\n```\nend\n",
    ),
)
REPORTS = {
    "starting": STARTING,
    "running": RUNNING,
    "async": replace(RUNNING, is_async=True),
    "completed": COMPLETED,
    "failed": FAILED,
    "stopped": replace(RUNNING, state=State.STOPPED),
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
    page = Page(comment(FAILED, MARKER))
    assert {"table", "details", "summary", "pre"} <= set(page.tags)
    assert "100%|##|\n```\nend" in page.text
    assert "ERROR: No matching distribution\n" in page.text
    assert MARKER not in page.text


def hostile(text: str) -> Report:
    return Report(
        state=State.FAILED,
        pipeline=text,
        studio_name=text,
        studio_url=text,
        machine=text,
        commit_sha=text,
        commit_url=text,
        branch=text,
        runs=(
            RunReport(
                run_name=text,
                run_url=text,
                orchestrator_url=text,
                status=text,
                steps=(StepReport(name=text, status=text, machine=text),),
            ),
        )
        * 2,
        workflow_run_url=text,
        failure=Failure(phase=Phase.RUNNING, message=text, command=text, exit_code=1, output=text),
        launch_id=text,
    )


HOSTILE = st.text(alphabet="`~*_[]()<>|\\!#@&;:/.-+=\"'$ \n\r\taw1é\x1b", max_size=40)


@settings(deadline=None, max_examples=150)
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
    assert [tag for tag in page.tags if tag != "a"] == harmless_tags(bool(text))
    assert all(link.startswith(("http://", "https://")) for link in page.links)
    assert not page.links or text.lower().startswith(("http:", "https:"))
    assert not re.search(r"[@#][0-9A-Za-z]", page.mentionable)


@cache
def harmless_tags(known: bool) -> list[str]:
    """The tags of a report whose texts are harmless, or empty: facts without a text are left out."""
    return [tag for tag in Page(summary(hostile("x" if known else ""))).tags if tag != "a"]


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
    assert FAILED.failure
    long_log = replace(FAILED, runs=COMPLETED.runs, failure=replace(FAILED.failure, output="first\n" + "x" * 70_000))
    body = comment(long_log, MARKER)
    assert len(body) <= COMMENT_LIMIT
    assert body.startswith(MARKER)
    assert "first" not in body
    assert "x" * 4_000 in body
    assert "predict" in body
    assert "Shortened: the [job summary](https://github.com/octo/repo/actions/runs/77)" in body
    assert "first" in summary(long_log)


def test_too_many_steps_are_left_out_next() -> None:
    steps = tuple(StepReport(name=f"step_{n}_{'y' * 100}", status="completed") for n in range(1000))
    body = comment(replace(COMPLETED, runs=(replace(COMPLETED.runs[0], steps=steps),)), MARKER)
    assert len(body) <= COMMENT_LIMIT
    assert "step_1_" not in body
    assert RUN_URL.split("&")[0] in body


def test_comment_fits_whatever_it_holds() -> None:
    huge = hostile("`|" * 50_000)
    body = comment(replace(huge, runs=huge.runs * 50), MARKER)
    assert len(body) <= COMMENT_LIMIT
    assert body.startswith(MARKER)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min 00 s"), (3_599, "59 min 59 s"), (3_661, "1 h 01 min")],
)
def test_elapsed(seconds: float, shown: str) -> None:
    assert f"| **Elapsed** | {shown} |" in comment(replace(STARTING, elapsed=seconds), MARKER)
