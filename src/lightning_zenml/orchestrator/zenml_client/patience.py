"""Patience of ZenML's client: one odd answer of the server decides nothing.

The client tries again for half a minute where the server can't be reached or is busy (429, 502, 503, 504). Everything
else it believes at once, also what a proxy or a server that is just starting says in passing, and the run ends with it.
Here such an answer is asked for again, for a minute; then it is believed. A server that is away is waited for, three
minutes long. A login, which the client sends once, is sent again for a minute, too. What is sent twice is carried out
once: ZenML's requests have an idempotency key (`zenml.zen_stores.rest_zen_store`), and see
`lightning_zenml.zenml_api.sent_again`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import requests
import tenacity
from requests.adapters import HTTPAdapter
from zenml.exceptions import AuthorizationException, IllegalOperationError
from zenml.logger import get_logger
from zenml.login.credentials_store import get_credentials_store
from zenml.zen_stores.rest_zen_store import RestZenStore

from lightning_zenml.http_session import Authorization
from lightning_zenml.orchestrator.zenml_client.unwritten import hold_up_no_end
from lightning_zenml.zenml_api.patience import PAUSES, PatientAdapter
from lightning_zenml.zenml_api.run_end import SPAN

logger = get_logger(__name__)

T = TypeVar("T")

OUTAGE = 180.0
"""Seconds for which the server may be away: it may be updated, say."""
_OUTAGES = (requests.ConnectionError, requests.Timeout, requests.exceptions.RetryError)


def be_patient() -> None:
    """Lets ZenML's client be patient with its server from the next request on, in this whole process.

    Patience has its end with the process: its artifact store's files hold that up no longer.
    """
    hold_up_no_end()
    if RestZenStore.session is not _session:
        RestZenStore.session = _session
        RestZenStore.get_or_generate_api_token = _log_in


def _patient(store: RestZenStore) -> requests.Session:
    """The store's session, in which each adapter has become a patient one: the store asks for it at each request."""
    session: requests.Session = _of_zenml.fget(store)
    # Its tokens stand in a header, which an entry in `~/.netrc` would replace.
    session.auth = session.auth or Authorization("")
    for prefix, adapter in tuple(session.adapters.items()):
        if isinstance(adapter, HTTPAdapter):
            # A server, or what is before it, could name any time, and the machine is paid for meanwhile. ZenML's own
            # tries would take eight minutes with one that is busy or mute; these end, and are looked at, within two.
            adapter.max_retries = adapter.max_retries.new(respect_retry_after_header=False, read=2, status=5)
            patient = PatientAdapter(adapter, stop=_is_believed, outages=_OUTAGES, warn=logger.warning)
            session.mount(prefix, patient)
    return session


_of_zenml = RestZenStore.session
_session = property(_patient)
_login_of_zenml = RestZenStore.get_or_generate_api_token


@functools.wraps(_login_of_zenml)
def _log_in(store: RestZenStore) -> str:
    """The token that the store has, or gets by a login."""
    retrying = tenacity.Retrying(
        # Where there is nothing to log in by, nothing was sent.
        retry=tenacity.retry_if_exception(lambda _: bool(get_credentials_store().can_login(store.url))),
        stop=tenacity.stop_after_delay(SPAN),
        wait=PAUSES,
        before_sleep=lambda state: logger.warning("ZenML's answer to a login is odd. It is asked again."),
        reraise=True,
    )
    token: str = retrying(_login_of_zenml, store)
    return token


def insist(call: Callable[[], T]) -> T:
    """Asks or tells ZenML what decides how a run ends, again and again for a minute where that fails.

    Args:
        call: uses ZenML's client, which raises whatever it stumbles over in an answer that lacks something.

    Raises:
        AuthorizationException: if the server refuses the token, as that of a run which is over.
        IllegalOperationError: if the server refuses what it is told.
        Exception: the last error, if it failed each time.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_after_delay(SPAN),
        wait=PAUSES,
        reraise=True,
    )
    return retrying(call)


def _is_believed(state: tenacity.RetryCallState) -> bool:
    is_away = state.outcome is not None and state.outcome.failed
    return (state.seconds_since_start or 0) > (OUTAGE if is_away else SPAN)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, Exception) and not isinstance(error, AuthorizationException | IllegalOperationError)
