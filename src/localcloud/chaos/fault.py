"""What may go wrong with a call: a status, a page, a spoilt body, a lost connection, a pause, an outage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Sign in to continue</h1></body></html>\n"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, whole.

    Args:
        status: of HTTP.
        headers: without those that concern the connection or the length.
        body: as sent.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong; made by the functions below.

    Args:
        name: for records and names of tests.
        carried_out: the service gets the request all the same; only its answer suffers.
        spoil: makes the answer that the client gets of the service's (None: it was not asked); None: none is sent.
        pause: seconds before anything else happens.
        cut: the connection breaks off in the middle of the body.
        drip: seconds between two pieces of the body, of which there are at most twenty.
        outage: seconds, from this call on, in which the service takes no call.
    """

    name: str
    carried_out: bool = False
    spoil: Callable[[Answer | None], Answer] | None = None
    pause: float = 0
    cut: bool = False
    drip: float = 0
    outage: float = 0

    def __str__(self) -> str:
        return self.name

    def after_execution(self) -> Fault:
        """The same, with the request carried out."""
        return replace(self, carried_out=True)

    def before_execution(self) -> Fault:
        """The same, with the request never seen by the service."""
        return replace(self, carried_out=False)

    @classmethod
    def status(cls, status: int, *, message: str = "a fault on the way", retry_after: str | None = None) -> Fault:
        """An error status with a JSON body as all the services send one.

        Args:
            status: e.g. 401, 403, 404, 429, 500, 503.
            message: in the body.
            retry_after: header, as absurd as one likes: `86400`, `-1`, `soon`, a date of the past.
        """
        body = json.dumps({"message": message, "detail": message, "code": 2}).encode()
        headers = {"Content-Type": "application/json"}
        if retry_after is not None:
            headers["Retry-After"] = retry_after
        name = str(status) if retry_after is None else f"{status} Retry-After {retry_after}"
        return cls(name=name, spoil=lambda _: Answer(status, headers, body))

    @classmethod
    def html(cls, status: int = 200) -> Fault:
        """A page for people, as a login wall or a proxy sends one; the service never sees the request."""
        answer = Answer(status, {"Content-Type": "text/html; charset=utf-8"}, _PAGE)
        return cls(name=f"HTML {status}", spoil=lambda _: answer)

    @classmethod
    def body(cls, body: str) -> Fault:
        """JSON of another shape with status 200: `[]`, `{}`, `null`. The request is carried out."""
        answer = Answer(200, {"Content-Type": "application/json"}, body.encode())
        return cls(name=body, carried_out=True, spoil=lambda _: answer)

    @classmethod
    def without(cls, member: str = "id") -> Fault:
        """The service's answer without the members of this name, however deep."""

        def left_out(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: left_out(one) for name, one in value.items() if name != member}
            return [left_out(one) for one in value] if isinstance(value, list) else value

        return cls(name=f"without {member}", carried_out=True, spoil=_reshaped(left_out))

    @classmethod
    def wrong_types(cls) -> Fault:
        """The service's answer with numbers for strings, strings for numbers, objects for lists, and so on."""

        def swapped(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: swapped(one) for name, one in value.items()}
            if isinstance(value, list):
                return {str(index): one for index, one in enumerate(value)}
            return {str: 7, int: "seven", float: "seven", bool: "yes", type(None): []}[type(value)]

        return cls(name="wrong types", carried_out=True, spoil=_reshaped(swapped))

    @classmethod
    def cut_short(cls) -> Fault:
        """The request is carried out and the connection breaks off in the middle of the answer's body."""
        return cls(name="cut", carried_out=True, spoil=_kept, cut=True)

    @classmethod
    def reset(cls, *, after: bool = False) -> Fault:
        """The connection is reset.

        Args:
            after: the request is carried out before.
        """
        return cls(name="reset after" if after else "reset before", carried_out=after)

    @classmethod
    def hang(cls, seconds: float = 3600) -> Fault:
        """Nothing happens for so long, then the connection is reset; the service never sees the request."""
        return cls(name=f"hang {seconds:g} s", pause=seconds)

    @classmethod
    def late(cls, seconds: float) -> Fault:
        """All goes well, so much later."""
        return cls(name=f"late {seconds:g} s", carried_out=True, spoil=_kept, pause=seconds)

    @classmethod
    def slow_drip(cls, seconds: float) -> Fault:
        """The request is carried out and its answer comes whole, in pieces.

        Args:
            seconds: between two of at most twenty pieces.
        """
        return cls(name=f"drip {seconds:g} s", carried_out=True, spoil=_kept, drip=seconds)

    @classmethod
    def away(cls, seconds: float) -> Fault:
        """From this call on the service resets every connection, for so long."""
        return cls(name=f"away {seconds:g} s", outage=seconds)


def _kept(answer: Answer | None) -> Answer:
    assert answer is not None
    return answer


def _reshaped(change: Callable[[Any], Any]) -> Callable[[Answer | None], Answer]:
    def reshape(answer: Answer | None) -> Answer:
        answer = _kept(answer)
        try:
            return replace(answer, body=json.dumps(change(json.loads(answer.body))).encode())
        except ValueError:
            # Nothing to reshape in what is no JSON, an object in the artifact store for one.
            return answer

    return reshape
