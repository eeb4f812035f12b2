"""What a request has made that was sent again, as its first answer was lost: it stands in the second one's way.

ZenML's server carries out requests with one `Idempotency-Key` once, unless it is set not to
(`ZENML_SERVER_REQUEST_DEDUPLICATION=false`), or the first one's answer was too large for it to keep. What has an id or
a name of its own, such as runs, steps, schedules and secrets, can't be made twice: the server says that it is there. So
it is, and is the answer.
"""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests

_KIND = re.compile(r"/api/v1/([\w-]+)$")
_IN_THE_WAY = re.compile(r"EntityExists|IntegrityError|UNIQUE constraint|Duplicate entry")
"""In the server's words, with 409 or 500."""
_NARROWING = ("pipeline_run_id", "project")
"""Of what is to be made, besides its name, what narrows the search for it."""
_SLACK = timedelta(seconds=5)
"""By which clocks may differ, whole seconds among it."""


def made_before(
    request: requests.PreparedRequest,
    answer: requests.Response,
    *,
    began: float,
    send: Callable[[requests.PreparedRequest], requests.Response],
) -> requests.Response:
    """The answer to a request that was sent before: what that has made, where the server says that it is there.

    Args:
        request: what was sent, with the same key each time.
        answer: the newest answer to it.
        began: when it was sent first, by `time.monotonic`. What is older was made by somebody else.
        send: sends a request to the same server.

    Raises:
        ConnectionError: if the server doesn't tell now what is there.
    """
    url = urlsplit(request.url or "")
    kind = _KIND.search(str(url.path))
    is_in_the_way = answer.status_code in {409, 500} and _IN_THE_WAY.search(answer.text)
    if not (request.method == "POST" and kind and is_in_the_way):
        return answer
    wanted = json.loads(request.body or "null")
    if not isinstance(wanted, dict):
        return answer

    def ask(method: str, path: str, **query: object) -> Any:
        asked = request.copy()
        asked.method = method
        asked.url = f"{url.scheme}://{url.netloc}{path}?{urlencode(query)}"
        for name in ("Content-Length", "Content-Type", "Idempotency-Key"):
            asked.headers.pop(name, None)
        asked.prepare_body(None, None, json={} if method == "PUT" else None)
        found = send(asked)
        if found.status_code in {403, 404}:
            return None
        try:
            found.raise_for_status()
            return found.json()
        except (requests.HTTPError, ValueError) as error:
            raise requests.ConnectionError(f"What ZenML has of this is not known: {error}", request=request) from error

    since = _now(answer) - timedelta(seconds=time.monotonic() - began) - _SLACK
    if item := _found(ask, str(url.path), wanted, since):
        # Runs are had or made, which the answer tells.
        return _answer([item, True] if kind[1] == "runs" else item, answer)
    return answer


def _found(ask: Callable[..., Any], path: str, wanted: Mapping[str, Any], since: datetime) -> Any:
    """What is there of an id or a name, with all that is known of it, if it is no older; else None."""
    item = None
    if wanted.get("id"):
        # Logs that are of no run yet are shown to nobody but who changes them.
        item = ask("GET", f"{path}/{wanted['id']}", hydrate=True) or ask("PUT", f"{path}/{wanted['id']}")
    elif wanted.get("name"):
        narrowing = {name: wanted[name] for name in _NARROWING if wanted.get(name)}
        page = ask("GET", path, name=f"equals:{wanted['name']}", sort_by="desc:created", size=1, **narrowing)
        found = next((one.get("id") for one in (page or {}).get("items", ())), None)
        item = ask("GET", f"{path}/{found}", hydrate=True) if found else None
    return item if item and _created(item) >= since else None


def _created(item: Mapping[str, Any]) -> datetime:
    told = datetime.fromisoformat(item["body"]["created"])
    return told if told.tzinfo else told.replace(tzinfo=UTC)


def _now(answer: requests.Response) -> datetime:
    """The server's time, as it may be another than ours."""
    try:
        return parsedate_to_datetime(answer.headers["Date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)


def _answer(told: object, like: requests.Response) -> requests.Response:
    answer = requests.Response()
    answer.status_code, answer.reason = 200, "OK"
    answer.url, answer.request = like.url, like.request
    answer.headers["Content-Type"] = "application/json"
    answer.raw = io.BytesIO(json.dumps(told).encode())
    return answer
