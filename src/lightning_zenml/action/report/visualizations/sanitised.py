"""Markdown that others wrote, made harmless: it is parsed, and only what is known here is written anew, as HTML.

So nothing of it is taken for HTML, nobody is mentioned, no other issue gets a trace, and nothing is loaded from another
host. All of it is one line: neither a blank line nor a fence in it can end the block that it stands in.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from markupsafe import Markup

from lightning_zenml.action.report import markdown

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_SAME = ("blockquote", "table", "thead", "tbody", "tr", "th", "td", "em", "strong", "s")
_TAGS = {name: name for name in _SAME} | {
    "paragraph": "p",
    "heading": "h5",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
}
"""HTML's tag by markdown-it's name of an element; what isn't here is shown as the text that it was."""
_TRACES = re.compile(r"/(issues|pull|discussions|commit)/")
"""Part of an address on GitHub where a link from here would be told of."""
_URL_LIMIT = 2_000


@lru_cache(maxsize=64)
def sanitised(source: str, limit: int) -> Markup:
    """The Markdown as harmless HTML in one line.

    Args:
        source: Markdown, as GitHub and ZenML's dashboard know it.
        limit: characters of the source at most; what is longer is cut at the end of a line.
    """
    is_cut = len(source) > limit
    if is_cut:
        source = source[:limit].rpartition("\n")[0] or source[:limit]
    parts = [*_rendered(_parser().parse(source)), "<p>…</p>" if is_cut else ""]
    return Markup(f"<div>{''.join(parts)}</div>")  # noqa: S704


def texts(source: str) -> Iterator[str]:
    """All text that a reader of the Markdown sees, without the characters that only mark it up."""
    for token in _parser().parse(source):
        yield token.content
        yield "".join(child.content for child in token.children or ())


@cache
def _parser() -> MarkdownIt:
    # Costs some 20 ms, which most runs don't need.
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _rendered(tokens: list[Token]) -> Iterator[str]:
    links: list[bool] = []
    for token in tokens:
        kind, _, side = token.type.rpartition("_")
        if token.hidden:
            continue
        if side in {"open", "close"} and kind in _TAGS:
            yield f"<{'/' if side == 'close' else ''}{_TAGS[kind]}>"
        elif token.type == "link_open":
            address = _address(str(token.attrGet("href") or ""))
            links.append(bool(address))
            yield address and f'<a href="{address}">'
        elif token.type == "link_close":
            yield "</a>" if links.pop() else ""
        elif token.type == "inline":
            yield from _rendered(token.children or [])
        elif token.type == "image":
            yield _image(token, is_in_link=any(links))
        else:
            yield _leaf(token)


def _leaf(token: Token) -> str:
    match token.type:
        case "softbreak":
            return " "
        case "hardbreak":
            return "<br>"
        case "hr":
            return "<hr>"
        case "code_inline":
            return markdown.code(token.content)
        case "fence" | "code_block":
            return f"<pre><code>{markdown.lines(token.content)}</code></pre>"
        case _:
            return markdown.fragment(token.content)


def _image(token: Token, *, is_in_link: bool) -> str:
    """A picture's description, as a link to it."""
    address = "" if is_in_link else _address(str(token.attrGet("src") or ""))
    shown = markdown.fragment(token.content or "picture")
    return f'<a href="{address}">{shown}</a>' if address else shown


def _address(url: str) -> str:
    """A web page's address, as an attribute has it; '' for any other, and for one where a link would leave a trace."""
    try:
        parts = urlsplit(url)
        is_page = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return ""
    if not is_page or len(url) > _URL_LIMIT or _TRACES.search(parts.path):
        return ""
    return html.escape(markdown.address(url))
