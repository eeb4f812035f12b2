"""Visualizations of artifacts as a report shows them, whatever a pipeline has put there."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_zenml.action.github.workflow import SUMMARY_LIMIT
from lightning_zenml.action.report import (
    COMMENT_LIMIT,
    Kind,
    Report,
    RunReport,
    State,
    VisualizationReport,
    comment,
    redacted,
    summary,
)
from lightning_zenml.action.report.visualizations.reading import picture, read
from lightning_zenml.action.report.visualizations.sanitised import sanitised

MARKER = "<!-- lightning-zenml: key | run 1.1 -->"
MARKDOWN = """# Quality

Seen by @octo in #12 and GH-3 <b>at</b> www.example.com, see [the docs](https://zenml.io/a?b=1&c=2).

<!-- lightning-zenml: key | run 9.1 --> ![trace](https://elsewhere.example/pixel.png)

| class | f1 |
| --- | --- |
| cat | **0.9** |

```python
@step

def train(): ...
```

</details>

- [an issue](https://github.com/o/r/issues/1), [odd](javascript:alert(1))
"""


def shown(*visualizations: VisualizationReport) -> tuple[str, str]:
    """Comment and summary of a run with these."""
    runs = (RunReport(run_name="train-1", visualizations=visualizations),)
    report = Report(state=State.COMPLETED, pipeline="train", runs=runs, workflow_run_url="https://github.com/o/r/1")
    return comment(report, MARKER), summary(report)


def reading(kind: Kind, value: str) -> VisualizationReport:
    return read("quality", kind, value, lambda text: text.replace("hunter_2", "***"))


class Elements(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.comments: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open += [] if tag in {"br", "hr"} else [tag]
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_markdown_is_shown_without_what_it_could_do() -> None:
    page = str(sanitised(MARKDOWN, 10_000))
    assert "\n" not in page
    elements = Elements(page)
    assert elements.open == elements.comments == []
    assert elements.tags == {"div", "h5", "p", "a", "table", "thead", "tbody", "tr", "th", "td"} | {
        *("strong", "pre", "code", "ul", "li")
    }
    assert elements.addresses == ["https://zenml.io/a?b=1&c=2", "https://elsewhere.example/pixel.png"]
    assert "www." not in page
    assert not re.search(r"@\w|#\d|GH-\d", elements.text.replace("@step", ""))
    assert "@\u200bocto in #\u200b12 and GH-\u200b3 <b>at</b>" in elements.text
    assert "@step\n\ndef train(): ...\n" in elements.text
    assert "</details>" in elements.text


def test_markdown_keeps_its_place_in_comment_and_summary() -> None:
    for body in shown(reading(Kind.MARKDOWN, MARKDOWN)):
        assert body.count("<!--") == body.count(MARKER)
        assert body.count("<details>") == body.count("</details>")
        assert "<h5>Quality</h5>" in body
        assert "<td>cat</td><td><strong>0.9</strong></td>" in body


@given(st.text(alphabet=st.sampled_from("ab @#<>!-[]()`*_|\n\\&;:/.~=\"'1") | st.characters(), max_size=300))
@settings(max_examples=150)
def test_no_markdown_gets_out_of_its_place(source: str) -> None:
    page = str(sanitised(source, 200))
    assert "\n" not in page
    elements = Elements(page)
    assert elements.open == elements.comments == []
    assert not elements.tags & {"img", "script", "details", "summary"}
    assert all(address.startswith(("http://", "https://")) for address in elements.addresses)


def test_what_is_cut_says_so() -> None:
    page = str(sanitised("one\n\ntwo\n\nthree", 10))
    assert page == "<div><p>one</p><p>two</p><p>…</p></div>"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_is_a_table_that_is_cut(separator: str) -> None:
    rows = [["", *(f"column {number}" for number in range(30))], *([["x|y", *["@octo"] * 30]] * 100)]
    content = "\r\n".join(separator.join(row) for row in rows)
    in_comment, in_summary = shown(reading(Kind.CSV, "\ufeff" + content))
    for body, columns, lines in ((in_comment, 6, 5), (in_summary, 12, 20)):
        table = [line for line in body.splitlines() if line.startswith("| x&#124;y |")]
        assert len(table) == lines
        assert {line.count("|") for line in table} == {columns + 1}
        assert "&#64;&#8203;octo" in table[0]
        assert f"| column {columns - 2} | … |" in body
        assert f"And {100 - lines} more rows." in body


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (Kind.CSV, "", "It is empty."),
        (Kind.MARKDOWN, " \n", "It is empty."),
        (Kind.CSV, '"' + "x" * 200_000, "It is no table that can be read"),
        (Kind.MARKDOWN, "the key is hunter\\_2", "It seems to hold a secret"),
    ],
)
def test_what_can_t_be_read_is_linked_with_the_reason(kind: Kind, value: str, why: str) -> None:
    found = reading(kind, value)
    assert not found.is_shown
    for body in shown(found):
        assert f"Not shown here: <code>quality</code> ({kind})." in body
        assert why in body


@pytest.mark.parametrize("value", ["a,b\n\0\n", '"a\nb",c\n"', "\n\n\n,,,\n", "a\n" * 3, "1,2,3\n4\n5,6,7,8,9\n"])
def test_odd_tables_are_no_trouble(value: str) -> None:
    for body in shown(reading(Kind.CSV, value)):
        assert "completed" in body


def test_json_is_indented_and_cut_and_can_t_end_its_fence() -> None:
    in_comment, in_summary = shown(reading(Kind.JSON, '{"é": ["```", 1], "key": "hunter_2"}'))
    for body in (in_comment, in_summary):
        assert '````json\n{\n  "é": [\n    "```",\n    1\n  ],\n  "key": "***"\n}\n````' in body
    in_comment, _ = shown(reading(Kind.JSON, str(list(range(1000)))))
    assert in_comment.split("```json\n")[1].split("\n```")[0].splitlines()[-1] == "…"
    assert "[1," in shown(reading(Kind.JSON, "[1, 2"))[1]
    assert "```json" in shown(reading(Kind.JSON, "[" * 100_000))[0]


def test_html_is_only_linked_and_so_is_a_picture_that_nobody_has_published() -> None:
    page = VisualizationReport(artifact="page", kind=Kind.HTML, url="https://zenml.example/1")
    confusion = VisualizationReport(artifact="confusion", kind=Kind.IMAGE, lacks="With `pictures: branch`, it is.")
    for body in shown(page, confusion):
        assert (
            "Not shown here: [<code>page</code>](https://zenml.example/1) (html), <code>confusion</code> (image)."
            in body
        )
        assert "With <code>pictures&#58; branch</code>, it is." in body


def test_a_picture_is_shown_from_its_address() -> None:
    address = "https://github.com/o/r/blob/abc/1.png?raw=true"
    for body in shown(VisualizationReport(artifact="a]b", kind=Kind.IMAGE, picture=address)):
        assert f"![a&#93;b]({address})" in body


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        (b"\x89PNG\r\n\x1a\n...", "png"),
        (b"\xff\xd8\xff...", "jpg"),
        (b"GIF89a...", "gif"),
        (b"RIFF....WEBP", "webp"),
        (b"RIFF....WAVE", None),
        (b"<svg onload='alert(1)'/>", None),
        (b"", None),
    ],
)
def test_pictures_are_known_by_their_first_bytes(content: bytes, ending: str | None) -> None:
    found = picture(base64.b64encode(content).decode())
    assert (found and found[0]) == ending


def test_what_is_no_base64_is_no_picture() -> None:
    assert picture("not base64!") is None


def test_secrets_are_hidden_in_every_cell() -> None:
    report = Report(
        state=State.COMPLETED,
        pipeline="train",
        runs=(
            RunReport(
                run_name="1",
                visualizations=(VisualizationReport(artifact="a", kind=Kind.CSV, rows=(("key",), ("s3cr3t",))),),
            ),
        ),
    )
    assert "s3cr3t" not in summary(redacted(report, lambda text: text.replace("s3cr3t", "***")))


def test_limits_hold_whatever_there_is_to_see() -> None:
    wide = VisualizationReport(artifact="wide", kind=Kind.CSV, rows=(("@" * 60,) * 12,) * 30)
    long = VisualizationReport(artifact="long", kind=Kind.MARKDOWN, text="@&<# " * 5_000)
    for body, size in zip(shown(*[wide, long] * 10), (COMMENT_LIMIT, SUMMARY_LIMIT), strict=True):
        assert len(body.encode()) <= size
        assert "completed" in body
    runs = tuple(RunReport(run_name=f"train-{number}", visualizations=(long,)) for number in range(20))
    report = Report(state=State.COMPLETED, pipeline="train", runs=runs)
    assert len(comment(report, MARKER)) <= COMMENT_LIMIT
    assert len(summary(report).encode()) <= SUMMARY_LIMIT
