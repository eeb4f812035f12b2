"""The page of `make demo`: nothing that somebody wrote does anything in it, and all of it is drawn."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from localcloud.demo.__main__ import main, may_open_a_browser
from localcloud.demo.drawing import draw
from localcloud.demo.log import log_as_html
from localcloud.demo.markdown import as_html
from localcloud.demo.page import page_of
from localcloud.demo.play import Job, Run, Told
from localcloud.demo.scenarios import SCENARIOS
from localcloud.lightning.ledger import Interval
from localcloud.runner import Finished
from localcloud.schemas.objects import CheckRun, Deployment, DeploymentStatus

ROOT = Path(__file__).parents[2]
GOLDEN = sorted((ROOT / "tests/golden").glob("*.md"))
EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<a href="javascript:alert(1)" onclick="alert(1)">x</a>',
    "[x](javascript:alert(1))",
    "<svg onload=alert(1)><style>*{display:none}</style>",
    "</article></div></section></details></body></html>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe><textarea>",
    '"><form action=//x><input autofocus onfocus=alert(1)>',
    '```mermaid\nxychart-beta\n  title "<script>alert(1)</script>"\n  line [1, 2]\n```',
    '```mermaid\nflowchart LR\n  s0["</text><script>alert(1)</script>"]:::x\n```',
    "```mermaid\ngantt\n  title </svg><script>alert(1)</script>\n  <b>a</b> :done, 1, 2\n```",
]


class Elements(HTMLParser):
    """All tags, and what they have."""

    VOID = ("br", "hr", "meta", "img", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def assert_harmless(page: str) -> None:
    elements = Elements(page)
    assert elements.open == []
    names = {tag for tag, _ in elements.tags}
    assert not names & {"script", "iframe", "form", "input", "object", "embed", "link", "textarea", "base"}
    for tag, attributes in elements.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert str(attributes.get("href") or "#").startswith(("http://", "https://", "#"))
        assert tag == "img" or "src" not in attributes
        assert str(attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")


def _check_run(words: str) -> CheckRun:
    return CheckRun(
        id=1,
        repository="octo/model",
        sha="a" * 40,
        name=EVIL[0],
        external_id="",
        status="completed",
        started=datetime.now(UTC),
        conclusion="failure",
        title=EVIL[1],
        summaries=[words],
        annotations=[{"path": EVIL[0], "start_line": 1, "message": EVIL[1], "annotation_level": "failure"}],
    )


def _deployment() -> Deployment:
    status = DeploymentStatus(
        id=1,
        state="failure",
        description="",
        environment_url="https://lightning.example/run",
        log_url="",
        created=datetime.now(UTC),
    )
    return Deployment(
        id=1,
        repository="octo/model",
        sha="a" * 40,
        ref="better",
        task="deploy",
        environment=EVIL[0],
        payload={},
        description=None,
        is_transient=True,
        is_production=False,
        login=EVIL[1],
        created=datetime.now(UTC),
        statuses=[status],
    )


def told(**changes: object) -> Told:
    words = "\n\n".join(["![a plot](https://github.com/plot)", "![another](https://github.com/other)", *EVIL])
    finished = Finished(
        exit_code=1,
        post_exit_code=0,
        log=f"::group::{EVIL[0]}\n{words}\n::endgroup::\n::error title=x::{EVIL[1]}\n",
        outputs={"run-name": EVIL[0]},
        summary=words,
        state={},
    )
    given: dict[str, object] = {
        "scenario": "fails",
        "title": "a step fails",
        "sha": "a" * 40,
        "pull_request": 7,
        "comments": ((words, f"**second** {EVIL[0]}"),),
        "statuses": ((EVIL[0], "failure", EVIL[1]),),
        "check_runs": (_check_run(words),),
        "deployments": (_deployment(),),
        "pictures": {"https://github.com/plot": b"PNG"},
        "jobs": (Job(name=EVIL[0], finished=finished),),
        "runs": (),
        "intervals": (Interval(EVIL[0], "CPU", 0.44, 1_000, 1_060), Interval("job", "T4", 0.98, 1_020, 1_031)),
        "running": (),
    }
    return Told(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("markdown", EVIL)
def test_what_others_write_does_nothing(markdown: str) -> None:
    assert_harmless(as_html(markdown))
    assert_harmless(as_html(f"<details><summary>Log</summary>\n\n{markdown}\n\n</details>\n\nafter"))
    assert_harmless(log_as_html(f"::group::{markdown}\n{markdown}\n::warning::{markdown}"))


def test_a_whole_page_of_it_does_nothing_and_loads_nothing() -> None:
    page = page_of(told())
    assert_harmless(page)
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert '<img alt="a plot" src="data:image/png;base64,UE5H">' in page
    assert 'alt="another"' not in page
    assert "$0.0103" in page


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_every_diagram_of_a_report_is_drawn(golden: Path) -> None:
    text = golden.read_text()
    drawn = as_html(text)
    assert_harmless(drawn)
    assert "language-mermaid" not in drawn
    assert drawn.count("<svg") == text.count("```mermaid")


def test_what_is_not_known_is_shown_as_its_text() -> None:
    assert draw("pie\n  a : 1") is None
    assert draw("gantt\n  section odd") is None
    assert "pie" in as_html("```mermaid\npie\n  a : 1\n```")


def test_a_log_has_its_groups_and_no_colours_of_a_terminal() -> None:
    shown = log_as_html(
        "::group::Load\n\x1b[37mhello\x1b[0m\n::group::Train\ntraining\n::endgroup::\n::error title=A%3A::b%0Ac"
    )
    assert shown.count("<details>") == shown.count("</details>") == 2
    assert "<summary>Load</summary><pre>hello\n" in shown
    assert '<span class="error">Error: b\nc</span>' in shown


def test_a_scenario_tells_what_is_wrong() -> None:
    run = Run(name="a", status="completed", orchestrator_url="https://lightning.ai/x")
    assert told(runs=(run,), running=("ci",)).problems == [
        "ci is still running",
        "The comment does not link to https://lightning.ai/x",
    ]
    assert told(comments=()).problems == ["There are 0 comments"]


def test_an_unknown_scenario_is_told_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faisl"]) == 2
    said = capsys.readouterr().err
    assert "'faisl'" in said
    assert all(f"  {name}" in said for name in SCENARIOS)


def test_all_scenarios_are_told_of() -> None:
    assert set(SCENARIOS) == {"completes", "fails", "gpu", "async", "cancel", "matrix", "report"}
    for page in ("Makefile", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text()
        assert [name for name in SCENARIOS if name not in text] == []


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda scenario: scenario.name)
def test_the_project_of_a_scenario_can_be_compiled(scenario: object) -> None:
    project = scenario.project  # type: ignore[attr-defined]
    text = (project / "run.py").read_text() if isinstance(project, Path) else project["run.py"]
    compile(text, "run.py", "exec")


@pytest.mark.parametrize(
    ("environ", "is_terminal", "platform", "opens"),
    [
        ({"DISPLAY": ":0"}, True, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True, "linux", True),
        ({}, True, "linux", False),
        ({}, True, "darwin", True),
        ({}, False, "darwin", False),
        ({"DISPLAY": ":0", "CI": "true"}, True, "linux", False),
        ({"SSH_CONNECTION": "a b"}, True, "darwin", False),
    ],
)
def test_a_browser_is_opened_only_where_somebody_looks(
    environ: dict[str, str], is_terminal: bool, platform: str, opens: bool
) -> None:
    assert may_open_a_browser(environ, is_terminal=is_terminal, platform=platform) is opens
