from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.log import Log

RED, BOLD, RESET = "\x1b[31m", "\x1b[1m", "\x1b[0m"


def logged(*pieces: str) -> list[str]:
    stream = io.StringIO()
    log = Log(Workflow({}, stream))
    for piece in pieces:
        log.feed(piece)
    log.end()
    return stream.getvalue().split("\n")[:-1]


def test_titles_and_steps_begin_groups() -> None:
    text = (
        "==> Run: python run.py\nhello\n"
        f"[load] {RED}Step {RESET}{BOLD}load{RED} has started.{RESET}\n[load] loading\n"
        "[train] Step train has started.\n[train] Step load has started.\nthe end"
    )
    assert logged(text[:50], text[50:]) == [
        "::group::Run: python run.py",
        "hello",
        "::endgroup::",
        "::group::Step load",
        f"[load] {RED}Step {RESET}{BOLD}load{RED} has started.{RESET}",
        "[load] loading",
        "::endgroup::",
        "::group::Step train",
        "[train] Step train has started.",
        "[train] Step load has started.",
        "the end",
        "::endgroup::",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\n", ["plain", ""]),
        ("10%\r 50%\r100%\r\n", ["100%"]),
        ("windows\r\n", ["windows"]),
        ("\x1b[2K\x1b[1Adone\n", ["done"]),
        ("\x1b]0;title\x07\x1b]8;;https://x\x1b\\link\n", ["link"]),
        ("broken \x1b[3\n", ["broken [3"]),
        (f"{RED}red\nstill red{RESET} not\nplain\n", [f"{RED}red{RESET}", f"{RED}still red{RESET} not", "plain"]),
        (f"{RED}{BOLD}both\n\x1b[mplain\n", [f"{RED}{BOLD}both{RESET}", f"{RED}{BOLD}\x1b[mplain"]),
        ("\x1b[2K::error::no\n", [": :error::no"]),
        ("one\u2028==> two\n", ["one\u2028==> two"]),
        (f"{RED}a\x1b[39m b\nplain\n", [f"{RED}a\x1b[39m b", "plain"]),
        (f"{BOLD}a\x1b[0;22m b\nplain\n", [f"{BOLD}a\x1b[0;22m b", "plain"]),
        (
            "\x1b[1;38;5;208ma\nb\x1b[22;39m\nc\n",
            ["\x1b[1;38;5;208ma\x1b[0m", "\x1b[1m\x1b[38;5;208mb\x1b[22;39m", "c"],
        ),
        (
            "\x1b[38;2;1;2;3mx\x1b[4:3m\ny\x1b[4:0;39m\nz\n",
            ["\x1b[38;2;1;2;3mx\x1b[4:3m\x1b[0m", "\x1b[38;2;1;2;3m\x1b[4:3my\x1b[4:0;39m", "z"],
        ),
        ("\x1b]8;id=1;https://x\x07text\x1b]8;;\x07 on\n", ["text on"]),
        ("\x1b[38;5;1mx\x1b[39m\n\x1b[38:2::1:2:3my\x1b[m\n", ["\x1b[38;5;1mx\x1b[39m", "\x1b[38:2::1:2:3my\x1b[m"]),
        (f"{RED}10%\r\x1b[32m20%\r\n", ["\x1b[31m\x1b[32m20%\x1b[0m"]),
    ],
)
def test_lines_are_readable(text: str, shown: list[str]) -> None:
    assert logged(text) == shown


@pytest.mark.parametrize("end", ["39", "22;39", "0;22", "49;39;22", ""])
def test_the_log_grows_by_what_is_written_however_colours_end(end: str) -> None:
    """3,000 such lines, 89 kB, once came out as 45 MB."""
    lines = "".join(f"\x1b[1;32mline {number}\x1b[{end}m\n" for number in range(3_000))
    assert len("".join(logged(lines))) < 2 * len(lines)


def test_a_progress_bar_is_shown_now_and_then() -> None:
    stream, now = io.StringIO(), 0.0
    log = Log(Workflow({}, stream), clock=lambda: now)
    for percent in range(101):
        log.feed(f"\r{RED}{percent:3}%{RESET}")
        now += 1.0
    log.feed("\nnext\n")
    assert stream.getvalue().splitlines() == [
        *(f"{RED}{percent:3}%{RESET}" for percent in range(0, 101, 10)),
        "next",
    ]


def test_a_bar_that_was_shown_at_its_end_is_not_shown_again() -> None:
    assert logged("\r50%\r100%", "\n", "next\n") == ["100%", "next"]


UP, CLEAR = "\x1b[A", "\x1b[2K"


def test_bars_below_one_another_are_shown_now_and_then() -> None:
    """As tqdm draws two of them."""
    stream, now = io.StringIO(), 0.0
    log = Log(Workflow({}, stream), clock=lambda: now)
    log.feed("begin\n")
    for percent in range(101):
        log.feed(f"\rfiles {percent:3}%")
        log.feed(f"\n\rbytes {percent:3}%{UP}")
        now += 0.5
    log.feed("\n\nnext\n")
    shown = stream.getvalue().splitlines()
    assert shown[:2] == ["begin", "files   0%"]
    assert [line[:5] for line in shown[2:-1]] == ["files", "bytes"] * 6
    assert shown[-3:] == ["files 100%", "bytes 100%", "next"]


def test_a_block_that_is_drawn_anew_is_shown_as_it_ends() -> None:
    """As rich draws one, with a line of its own above it."""
    frames = [f"{RED}one{RESET} {number}\ntwo {number}" for number in range(50)]
    back = f"\r{CLEAR}\x1b[1A{CLEAR}"
    shown = logged(*(f"{frame}{back}" for frame in frames), f"half way\n{frames[-1]}{back}{frames[-1]}\nthe end\n")
    assert shown[0] == f"{RED}one{RESET} 0"
    assert shown[-4:] == ["half way", f"{RED}one{RESET} 49", "two 49", "the end"]
    assert len(shown) < 10


def test_a_line_without_an_end_is_shown_in_pieces() -> None:
    shown = logged(*["x" * 60_000] * 4)
    assert [len(line) for line in shown] == [120_000, 120_000]


@given(st.text(alphabet="\x1b[]0;31mK\r\n:=>a #", max_size=40), st.integers(0, 40))
def test_no_text_issues_a_command_or_leaves_a_colour_open(text: str, cut: int) -> None:
    for line in logged(text[:cut], text[cut:]):
        assert not re.match(r"\s*::(?!group::|endgroup::)", line)
        assert "##[" not in line
        codes = re.findall(r"\x1b\[[0-9;:]*m", line)
        assert line.count("\x1b") == len(codes)
        assert not codes or re.fullmatch(r"\x1b\[0*m", codes[-1])
