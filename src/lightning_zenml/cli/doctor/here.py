"""What `doctor` looks at beside ZenML and Lightning AI: this program, the clock, the token for GitHub."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path

import requests

from lightning_zenml import http_log
from lightning_zenml.action.github.client import GitHub
from lightning_zenml.action.github.rest import (
    ForbiddenError,
    GitHubError,
    InvalidError,
    NotFoundError,
    UnauthorizedError,
)
from lightning_zenml.cli.doctor.finding import Finding, ok, skipped, warning, wrong
from lightning_zenml.cli.github import connect, repository_of, token_of
from lightning_zenml.http_session import Session

_AHEAD = 60.0
"""Seconds that a clock may go wrong: signatures and tokens are valid for minutes."""
_NOWHERE = "0" * 40
"""No commit's hash, and so a request that can change nothing."""


def program() -> Iterator[Finding]:
    """Looks at this program."""
    yield ok("lightning-zenml", f"{version('lightning-zenml')} on Python {platform.python_version()}")


def clock(urls: Sequence[str]) -> Iterator[Finding]:
    """Compares the clock with that of the first server that tells its own.

    Args:
        urls: addresses of servers; '' for one that isn't known.
    """
    differences = (_difference(url) for url in urls if url)
    difference = next((one for one in differences if one is not None), None)
    if difference is None:
        yield skipped("clock", "There is no server that tells the time")
    elif abs(difference) > _AHEAD:
        side = "ahead of" if difference > 0 else "behind"
        yield wrong("clock", f"It is {abs(difference):.0f} s {side} the server's: tokens and signatures fail. Set it")
    else:
        yield ok("clock", "as the server's")


def _difference(url: str) -> float | None:
    """Seconds that the clock is ahead of a server's; None where that doesn't tell."""
    try:
        with Session() as session:
            before = time.time()
            answer = http_log.logged("Clock", session.request)("HEAD", url, timeout=30, allow_redirects=False)
        date = parsedate_to_datetime(answer.headers["Date"])
    except (requests.RequestException, KeyError, ValueError):
        return None
    return (before + time.time()) / 2 - date.timestamp()


def github(environ: Mapping[str, str], folder: Path) -> Iterator[Finding]:
    """Looks at the token for GitHub, and whether it may do what the Action does with it.

    A permission to write is found out by a request for a commit and an issue that can't be there: GitHub looks at the
    permission first.

    Args:
        environ: environment variables: `GITHUB_TOKEN` or `GH_TOKEN`, `GITHUB_REPOSITORY` and `GITHUB_API_URL`.
        folder: folder of the user's project.
    """
    repository = environ.get("GITHUB_REPOSITORY") or repository_of(folder)
    token = token_of(environ)
    if not token or not repository:
        what = "no token (GITHUB_TOKEN, GH_TOKEN or `gh auth login`)" if not token else "no repository on GitHub"
        yield skipped(
            "GitHub", f"There is {what} here. In a workflow there is; `init --check` looks at its permissions"
        )
        return
    server = connect(environ, token, sleep=lambda seconds: None)
    try:
        login = server.login
        server.pull_requests_of_commit(repository, _NOWHERE)
    except UnauthorizedError:
        yield wrong("GitHub token", "GitHub refuses it: make a new one, or `gh auth login`")
        return
    except (ForbiddenError, NotFoundError) as error:
        yield wrong("GitHub token", f"It may not read the pull requests of {repository}: {error}")
        return
    except GitHubError as error:
        yield warning("GitHub", f"{error}")
        return
    yield ok("GitHub token", f"{f'of {login}, ' if login else ''}reads {repository}")
    yield from _may_write(server, repository)


def _may_write(server: GitHub, repository: str) -> Iterator[Finding]:
    comment, status = f"/repos/{repository}/issues/0/comments", f"/repos/{repository}/statuses/{_NOWHERE}"
    for check, path, body, needed in (
        ("GitHub comment", comment, {"body": "-"}, "pull-requests: write"),
        ("GitHub status", status, {"state": "success"}, "statuses: write"),
    ):
        try:
            server.rest.send("POST", path, body)
        except ForbiddenError:
            told = f"The token may not write it: give the job `{needed}`"
            yield warning(check, told) if check == "GitHub status" else wrong(check, told)
        except (InvalidError, NotFoundError):
            yield ok(check, f"`{needed}`")
        except GitHubError as error:
            yield warning(check, str(error))
