from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_zenml.action.github.workflow import MESSAGE_LIMIT, SUMMARY_LIMIT, Workflow
from lightning_zenml.codes import PAGE, Code


class Runner:
    """What the runner would see of a step: the stream, and the files of the file commands."""

    def __init__(self, folder: Path) -> None:
        self.files = {name: folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY")}
        self.stream = io.StringIO()
        self.workflow = Workflow({name: str(path) for name, path in self.files.items()}, self.stream)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    def values(self, name: str) -> dict[str, str]:
        """Parses a file command's file as FileCommandManager.cs does."""
        found: dict[str, str] = {}
        rest = self.files[name].read_text()
        while rest:
            head, _, rest = rest.partition("\n")
            key, _, delimiter = head.partition("<<")
            lines = []
            while True:
                line, newline, rest = rest.partition("\n")
                assert newline, "the delimiter doesn't end the value"
                if line == delimiter:
                    break
                lines.append(line)
            found[key] = "\n".join(lines)
        return found


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def runner_takes_for_command(line: str) -> bool:
    """The test that ActionCommand.cs makes of a line: `::` at the start, or `##[` anywhere."""
    return line.lstrip().startswith("::") or "##[" in line


def test_annotations_are_escaped(runner: Runner) -> None:
    runner.workflow.error("100%\r\nlost: a, b", Code.RUN, title="a:b,c%", file="x.py", line=3)
    runner.workflow.warning("plain", Code.NO_TLS)
    runner.workflow.notice("seen", Code.RULE, title="t")
    assert runner.lines == [
        f"::error title=a%3Ab%2Cc%25,file=x.py,line=3::100%25%0D%0Alost: a, b {PAGE}#lz-5003",
        f"::warning title=No TLS::plain {PAGE}#lz-1003",
        f"::notice title=t::seen {PAGE}#lz-5009",
    ]


def test_annotation_is_cut_where_the_runner_would(runner: Runner) -> None:
    link = f" {Code.RUN.url}"
    runner.workflow.error("x" * (MESSAGE_LIMIT - len(link)), Code.RUN)
    runner.workflow.error("x" * MESSAGE_LIMIT, Code.RUN)
    kept, cut = (line.rpartition("::")[2] for line in runner.lines)
    assert kept == "x" * (MESSAGE_LIMIT - len(link)) + link
    assert cut == "x" * (MESSAGE_LIMIT - len(link) - 1) + "…" + link


def test_a_group_has_a_title_and_an_end(runner: Runner) -> None:
    runner.workflow.start_group("50%")
    runner.workflow.log("inside\n")
    runner.workflow.end_group()
    assert runner.lines == ["::group::50%25", "inside", "::endgroup::"]


def test_mask_covers_each_line_once(runner: Runner) -> None:
    runner.workflow.mask("first\n{\nsecond")
    runner.workflow.mask("first")
    runner.workflow.mask("")
    runner.workflow.mask(" \n ")
    assert runner.lines == ["::add-mask::first%0A{%0Asecond", "::add-mask::first", "::add-mask::second"]


def test_redact_prefers_the_longest(runner: Runner) -> None:
    runner.workflow.mask("abc")
    runner.workflow.mask("abcdef")
    assert runner.workflow.redact("abcdef abc ab") == "*** *** ab"


@pytest.mark.parametrize(
    "line", ["::error::x", "  \t::set-output name=x::y", "\u00a0::x::", "text ##[error]x", "##[group]x"]
)
def test_log_disarms_commands_but_keeps_them_readable(runner: Runner, line: str) -> None:
    runner.workflow.log(line + "\n")
    (shown,) = runner.lines
    assert not runner_takes_for_command(shown)
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", line)


def test_log_leaves_other_text_alone(runner: Runner) -> None:
    text = "a::b\nstd::vector\n# [x]\n\n50%|##  |\r60%|## |\r\n"
    runner.workflow.log(text)
    assert runner.stream.getvalue() == text


@given(st.lists(st.text(alphabet=":#[]e \t\r\n\u2003x", max_size=8), max_size=8))
def test_log_never_issues_a_command(pieces: list[str]) -> None:
    stream = io.StringIO()
    workflow = Workflow({}, stream)
    for piece in pieces:
        workflow.log(piece)
    workflow.flush()
    # The runner's reader ends lines at \r too.
    assert not [line for line in re.split(r"\r\n|\r|\n", stream.getvalue()) if runner_takes_for_command(line)]
    assert re.sub(r"\s", "", stream.getvalue()) == re.sub(r"\s", "", "".join(pieces))


def test_unfinished_line_ends_before_a_command(runner: Runner) -> None:
    runner.workflow.log("half")
    assert runner.lines == []
    runner.workflow.log(" whole\nagain half")
    runner.workflow.notice("n", Code.RULE, title="t")
    assert runner.lines == ["half whole", "again half", f"::notice title=t::n {Code.RULE.url}"]


def test_log_survives_a_stream_that_lacks_characters() -> None:
    raw = io.BytesIO()
    workflow = Workflow({}, io.TextIOWrapper(raw, encoding="ascii"))
    workflow.log("é \udc80\n")
    assert raw.getvalue() == b"? ?\n"


@given(st.text(alphabet="ab<=\n", max_size=30))
def test_output_comes_back_whole(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    runner = Runner(tmp_path_factory.mktemp("runner"))
    runner.workflow.set_output("a", value)
    runner.workflow.set_output("run-url", "x=<<y")
    runner.workflow.save_state("launch", value)
    assert runner.values("GITHUB_OUTPUT") == {"a": value, "run-url": "x=<<y"}
    assert runner.values("GITHUB_STATE") == {"launch": value}


def test_delimiters_are_not_guessable(runner: Runner) -> None:
    runner.workflow.set_output("a", "1")
    runner.workflow.set_output("b", "2")
    delimiters = re.findall(r"<<(\w+)", runner.files["GITHUB_OUTPUT"].read_text())
    assert len(set(delimiters)) == 2
    assert all(len(delimiter) > 32 for delimiter in delimiters)


def test_summary_is_replaced_and_cut(runner: Runner) -> None:
    path = runner.files["GITHUB_STEP_SUMMARY"]
    runner.workflow.summary("é" * SUMMARY_LIMIT)
    assert path.stat().st_size <= SUMMARY_LIMIT
    assert "cut here" in path.read_text()[-60:]
    runner.workflow.summary("short")
    assert path.read_text() == "short"


def test_without_files_nothing_happens() -> None:
    stream = io.StringIO()
    workflow = Workflow({"GITHUB_OUTPUT": ""}, stream)
    workflow.set_output("a", "b")
    workflow.save_state("a", "b")
    workflow.summary("x")
    assert stream.getvalue() == ""
