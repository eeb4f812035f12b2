"""Text that others wrote, as Markdown in which it stays text.

Markdown has its own ways to link, to emphasise and to fence; as entities, characters do none of these.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from markupsafe import Markup

# Not encoded is what is harmless inside a line.
_MARKUP = re.compile(r"[!-+:-@\[-`{-~]|(?<=[Ww])\.")
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")
_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_ZERO_WIDTH_SPACE = "&#8203;"
_LINE_LIMIT = 1_000
_URL_LIMIT = 2_000


def plain(value: object, limit: int = _LINE_LIMIT) -> str:
    """One line of it, without what a terminal or a browser would obey and not show.

    Args:
        value: any text.
        limit: characters of the result at most.
    """
    line = " ".join(_TERMINAL.sub("", str(value)[: 10 * limit]).split())
    line = _INVISIBLE.sub("", line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def text(value: object) -> Markup:
    """Text within a line."""
    return _quiet(plain(value))


def fragment(value: object) -> Markup:
    """A part of a line of text, with the white space around it."""
    return _quiet(_INVISIBLE.sub("", _TERMINAL.sub("", str(value))).replace("\n", " "))


def lines(value: object) -> Markup:
    """Lines of code in one line of HTML."""
    shown = _INVISIBLE.sub("", _TERMINAL.sub("", str(value)))
    return Markup(_entities(shown).replace("\n", "&#10;"))  # noqa: S704


def code(value: object) -> Markup:
    """Text within a line, as code. GitHub looks for no mentions in there."""
    return Markup(f"<code>{_entities(plain(value))}</code>")  # noqa: S704


def message(value: object) -> Markup:
    """A message of ours within a line: what stands in backticks becomes code; all of it may hold others' words."""
    parts = plain(value).split("`")
    if len(parts) % 2 == 0:
        return text(value)
    return Markup("").join(code(part) if number % 2 else _quiet(part) for number, part in enumerate(parts))


def block(value: object, language: str = "text") -> Markup:
    """Lines, as a fenced block whose fence none of them can end.

    Args:
        value: lines of the block.
        language: language that GitHub shows the block as, e.g. `mermaid`.
    """
    lines = _TERMINAL.sub("", str(value)).replace("\r\n", "\n").strip("\n").split("\n")
    # What a carriage return has overwritten (progress bars) isn't to be seen in a terminal either.
    shown = "\n".join(_INVISIBLE.sub("", line.rstrip("\r").rsplit("\r", 1)[-1]) for line in lines)
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=2) + 1)
    fence = fence if len(fence) >= 3 else "```"
    return Markup(f"{fence}{language}\n{shown}\n{fence}")  # noqa: S704


def link(url: str | None, label: Markup | str | None = None) -> Markup:
    """A link to a web page; only the label where it isn't one.

    Args:
        url: address of the page.
        label: text of the link; None: the address itself.
    """
    shown = label if isinstance(label, Markup) else text(url if label is None else label)
    try:
        is_page = urlsplit(url or "").scheme in {"http", "https"} and len(url or "") <= _URL_LIMIT
    except ValueError:
        is_page = False
    if not is_page:
        return shown
    return Markup(f"[{shown}]({address(str(url))})")  # noqa: S704


def image(url: str, description: str) -> Markup:
    """A picture.

    Args:
        url: address of the picture, of our own making.
        description: what stands in its place where it isn't shown.
    """
    return Markup(f"![{text(description)}]({address(url)})")  # noqa: S704


def address(url: str) -> str:
    """An address without characters that mean something in Markdown; as it has no `;`, there are no entities either."""
    return quote(url.encode(errors="replace"), safe=":/?#[]@!$&'*+,=%-._~")


def _quiet(line: str) -> Markup:
    # "@name" would notify, "#1" and "GH-1" leave a trace on another issue: GitHub looks for them in the finished page.
    quiet = re.sub(r"&#(?:64|35);|GH-(?=\d)", lambda match: match[0] + _ZERO_WIDTH_SPACE, _entities(line))
    return Markup(quiet)  # noqa: S704


def _entities(line: str) -> str:
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", line)
