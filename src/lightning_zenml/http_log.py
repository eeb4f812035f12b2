"""Logs every call to another service for those who debug: method, path, status and time, never what it carries."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)


def logged(service: str, request: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which logs each call as e.g. `GitHub GET /repos/o/r/pulls: 200 in 85 ms`.

    Query, headers and bodies may hold secrets and stay out.

    Args:
        service: name of the service that is called.
        request: the function that calls, with method and URL as its first arguments; its answer or exception has a
            `status_code` or `status`, as those of requests and of urllib3 have.
    """

    @functools.wraps(request)
    def calling(method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        started = time.monotonic()
        outcome: object = "no answer"
        try:
            answer = request(method, url, *args, **kwargs)
            outcome = getattr(answer, "status_code", None) or getattr(answer, "status", None)
        except Exception as error:
            outcome = getattr(error, "status", None) or type(error).__name__
            raise
        else:
            return answer
        finally:
            elapsed = (time.monotonic() - started) * 1000
            logger.debug("%s %s %s: %s in %.0f ms", service, method, urlsplit(url).path, outcome, elapsed)

    return calling


def log_to(write: Callable[[str], None]) -> None:
    """Shows the calls from now on.

    Args:
        write: function that is given each line.
    """
    handler = logging.Handler()
    handler.emit = lambda record: write(record.getMessage())  # type: ignore[method-assign]
    # Asked for twice, each call is still shown once.
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
