"""What must not be shown: known secrets in every encoding, and whatever has the shape of one.

A process knows only its own secrets. A token that an earlier job minted, or that ZenML made for a run, is known by its
shape alone. What is no secret must stay readable: hashes of commits, digests and UUIDs have no shape of these.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

HIDDEN = "***"
_SHORTEST_LINE = 4
_SHORTEST_ENCODED = 8
"""What is encoded of a shorter secret may well stand in other text by chance."""
_SHORTEST_MEMBER = 6
_LONGEST_KEY = 200
"""Lines of a private key whose end never comes."""
_WORDS = re.compile(r"[a-z@._ /-]*")
"""Members of a JSON secret that tell what it is: `service_account`, a domain, a file."""
_SECRET_MEMBER = re.compile(r"key|token|secret|pass|pwd|auth|credential|dsn|signature", re.IGNORECASE)


@dataclass(frozen=True)
class _Shape:
    """A kind of secrets.

    Args:
        hint: a text that each of them holds, looked for first since that is quick.
        pattern: the whole; what its group `kept` or `after` matches is shown.
    """

    hint: str
    pattern: re.Pattern[str]


def _shape(hint: str, pattern: str, flags: int = 0) -> _Shape:
    return _Shape(hint, re.compile(pattern, flags))


_PEM_BEGIN, _PEM_END = "-----BEGIN ", "-----END "
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=]{16,}|(?<!\S)[A-Za-z0-9+/=]{4,}(?=\s*$)")
_SHAPES = (
    # JSON Web Tokens: those of ZenML's server, of Lightning AI, of clouds.
    _shape("eyJ", r"(?<![\w-])eyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*){1,3}"),
    _shape("ZEN", r"ZEN(?:KEY|PROKEY|PAT|PROPAT)_[\w+/=-]{8,}"),
    # Lightning AI's `sk-lit-`, and those of others that begin alike.
    _shape("sk-", r"(?<![\w-])sk-(?:lit-[\w-]{8,}|[\w-]{20,})"),
    # https://github.blog/engineering/behind-githubs-new-authentication-token-formats
    _shape("gh", r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9_.-]{16,}"),
    _shape("github_pat_", r"github_pat_\w{16,}"),
    _shape("A", r"(?<![A-Za-z0-9])A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _shape(
        "",
        r"(?P<kept>aws_?(?:secret_?access_?key|session_?token)\W{1,6})[A-Za-z0-9/+=]{16,}",
        re.IGNORECASE,
    ),
    _shape("glpat-", r"glpat-[\w-]{16,}"),
    _shape("hf_", r"(?<![\w-])hf_[A-Za-z0-9]{30,}"),
    _shape("xox", r"(?<![\w-])xox[abeoprs]-[\w-]{10,}"),
    _shape("AIza", r"(?<![\w-])AIza[\w-]{35}"),
    _shape("://", r"(?P<kept>(?<![\w+.-])[A-Za-z][\w+.-]{0,30}://[^\s/:@\"'<>]*:)[^\s/@\"'<>]+(?P<after>@)"),
    _shape("", r"(?P<kept>\bauthorization\W{1,6}(?:bearer|basic|token)\s+)[^\s\"']{8,}", re.IGNORECASE),
    _shape(
        _PEM_BEGIN,
        r"(?P<kept>-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----)(?=\s*\S).+?(?P<after>-----END [A-Z0-9 ]*-----|\n?\Z)",
        re.DOTALL,
    ),
)


class Redactor:
    """Hides secrets in texts that leave this process."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._forms: list[str] = []
        self._key_lines = 0

    def add(self, secret: str) -> list[str]:
        """Takes a secret to hide from now on, each line of it, the password of a URL and the members of a JSON object.

        Lines too short to be secret stay: hiding every `}` helps nobody.

        Args:
            secret: the value; an empty one is skipped.

        Returns:
            What was not known yet, as it stands in a text without any encoding.
        """
        new = [one for one in dict.fromkeys(_parts(secret)) if one.strip() and one not in self._known]
        self._known.update(new)
        forms = {*self._forms, *new, *(form for one in new for form in _encoded(one))}
        self._forms = sorted(forms, key=len, reverse=True)
        return new

    def __call__(self, text: str) -> str:
        """The text with every secret hidden.

        Args:
            text: a whole text, or whole lines.
        """
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        return _hide_shapes(text)

    def next_lines(self, text: str) -> str:
        """The next lines of a log with every secret hidden, those that go over several lines among them.

        Args:
            text: whole lines.
        """
        if not self._key_lines and _PEM_BEGIN not in text:
            return self(text)
        return "".join(self._next_line(line) for line in text.splitlines(keepends=True))

    def _next_line(self, line: str) -> str:
        line = self(line)
        if _PEM_END in line:
            self._key_lines = 0
        elif self._key_lines:
            self._key_lines -= 1
            line = _KEY_LINE.sub(HIDDEN, line)
        elif _KEY_BEGIN.search(line):
            self._key_lines = _LONGEST_KEY
        return line


def has_secret(text: str) -> bool:
    """Whether something in the text has the shape of a secret."""
    return _hide_shapes(text) != text


def _hide_shapes(text: str) -> str:
    for shape in _SHAPES:
        if shape.hint in text:
            text = shape.pattern.sub(_hidden, text)
    return text


def _hidden(match: re.Match[str]) -> str:
    shown = match.groupdict()
    return f"{shown.get('kept') or ''}{HIDDEN}{shown.get('after') or ''}"


def _parts(secret: str) -> Iterator[str]:
    """The secret, and whatever in it is secret by itself."""
    yield secret
    yield from (line for line in secret.splitlines() if len(line.strip()) >= _SHORTEST_LINE)
    yield from _passwords(secret)
    with_members = secret.strip()
    if with_members[:1] in ("{", "["):
        try:
            yield from _members("", json.loads(with_members))
        except (ValueError, RecursionError):
            return


def _passwords(secret: str) -> Iterator[str]:
    try:
        password = urlsplit(secret.strip()).password if "://" in secret else None
    except ValueError:
        return
    for one in {password, unquote(password)} if password else ():
        if one and len(one) >= _SHORTEST_LINE:
            yield one


def _members(name: str, value: Any) -> Iterator[str]:
    match value:
        case dict():
            for key, member in value.items():
                yield from _members(key, member)
        case list():
            for member in value:
                yield from _members(name, member)
        case str() if len(value) >= _SHORTEST_MEMBER:
            is_address = "://" in value and not has_secret(value)
            if not is_address and (_SECRET_MEMBER.search(name) or not _WORDS.fullmatch(value)):
                yield from _parts(value) if value[:1] not in ("{", "[") else (value,)


def _encoded(secret: str) -> Iterator[str]:
    """The secret as JSON, in a URL, and as base64, by itself or amid other text."""
    for form in (
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe="", errors="replace"),
        quote(secret, errors="replace"),
        quote_plus(secret, errors="replace"),
    ):
        if form != secret:
            yield form
            yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), form)
    data = secret.encode(errors="replace")
    if len(data) < _SHORTEST_ENCODED:
        return
    for before in range(3):
        # Only what no neighbour changes: three bytes make four characters.
        shifted = base64.b64encode(bytes(before) + data).decode()
        whole = shifted[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield whole
        yield whole.translate(str.maketrans("+/", "-_"))
