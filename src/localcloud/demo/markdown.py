"""Markdown as GitHub shows it: its flavour, its few HTML tags, Mermaid drawn."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import urlsplit

from markdown_it import MarkdownIt

from localcloud.demo.drawing import draw

_TAGS = {
    *("a", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt", "em", "hr", "i", "kbd", "li"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "s", "samp", "strong", "sub", "summary", "sup", "ul"),
    *("table", "tbody", "td", "tfoot", "th", "thead", "tr"),
}
_VOID = {"br", "hr"}
_SILENT = {"script", "style", "title", "template", "iframe", "textarea", "noscript"}
"""Tags whose content nobody should see either."""
_MERMAID = re.compile(r'<pre><code class="language-mermaid">(.*?)</code></pre>', re.DOTALL)


def as_html(markdown: str, pictures: Mapping[str, bytes] | None = None) -> str:
    """Renders Markdown that may hold anybody's words.

    Args:
        markdown: GitHub's flavour.
        pictures: PNGs by their addresses, which become part of the HTML; others are shown by their texts.

    Returns:
        HTML with nothing in it that runs, loads anything or is styled, and that ends all that it begins.
    """
    rendered = MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(markdown)
    cleaner = _Cleaner(pictures or {})
    cleaner.feed(rendered)
    cleaner.close()
    return _MERMAID.sub(_drawn, cleaner.result())


def _drawn(block: re.Match[str]) -> str:
    return draw(html.unescape(block[1])) or block[0]


class _Cleaner(HTMLParser):
    """Lets through what GitHub lets through; each end has its beginning."""

    def __init__(self, pictures: Mapping[str, bytes]) -> None:
        super().__init__(convert_charrefs=True)
        self._pictures = pictures
        self._parts: list[str] = []
        self._open: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        if tag == "img" and not self._silent:
            self._picture(dict(attrs))
        if self._silent or tag not in _TAGS:
            return
        given = "".join(f' {name}="{html.escape(value)}"' for name, value in _kept(tag, dict(attrs)).items())
        self._parts.append(f"<{tag}{given}>")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(self._silent - 1, 0)
        if self._silent or tag not in self._open:
            return
        while self._open:
            last = self._open.pop()
            self._parts.append(f"</{last}>")
            if last == tag:
                break

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._parts.append(html.escape(data))

    def _picture(self, attributes: dict[str, str | None]) -> None:
        text = html.escape(attributes.get("alt") or "")
        content = self._pictures.get(attributes.get("src") or "")
        encoded = base64.b64encode(content or b"").decode()
        self._parts.append(f'<img alt="{text}" src="data:image/png;base64,{encoded}">' if content else text)

    def result(self) -> str:
        return "".join([*self._parts, *(f"</{tag}>" for tag in reversed(self._open))])


def _kept(tag: str, attributes: dict[str, str | None]) -> dict[str, str]:
    kept = {}
    if tag == "a" and urlsplit(attributes.get("href") or "").scheme in {"http", "https"}:
        kept = {"href": str(attributes["href"]), "rel": "noopener noreferrer"}
    if tag == "details" and "open" in attributes:
        kept["open"] = ""
    if tag in {"td", "th"} and (match := re.search(r"text-align:(left|center|right)", attributes.get("style") or "")):
        kept["class"] = match[1]
    if tag == "code" and (match := re.fullmatch(r"language-(\w+)", attributes.get("class") or "")):
        kept["class"] = match[0]
    return kept
