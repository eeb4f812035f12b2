from __future__ import annotations

from importlib.metadata import version

import pytest
import requests

from lightning_zenml.zenml_api.models import Teamspace
from lightning_zenml.zenml_api.relied_on import missing
from lightning_zenml.zenml_api.rest import ZenMLServerError
from lightning_zenml.zenml_api.server import NoTokensError, ZenMLServer
from localcloud.chaos import Fault, chaos
from localcloud.service import free_port
from localcloud.stack import Stack

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def server(zenml_stack: Stack) -> ZenMLServer:
    return ZenMLServer(zenml_stack.zenml_url, zenml_stack.zenml_api_key)


def test_info(server: ZenMLServer, zenml_stack: Stack) -> None:
    info = server.info()

    assert info.version == version("zenml")
    assert info.dashboard_url == zenml_stack.zenml_url
    assert not info.pro
    assert info.notice is None


def test_the_server_has_all_that_is_relied_on(server: ZenMLServer) -> None:
    assert missing(server.rest.description()) == []


@pytest.mark.parametrize("address", ["http://.example", "http://a..b", "https://zenml.invalid:1"])
def test_an_address_that_leads_nowhere_is_told(address: str) -> None:
    with pytest.raises(ZenMLServerError, match=f"The ZenML server {address} can't be reached"):
        ZenMLServer(address, "key", retries=0).stack()


def test_minted_token_opens_the_server(server: ZenMLServer, zenml_stack: Stack) -> None:
    token = server.mint_token(3600)

    answer = requests.get(
        f"{zenml_stack.zenml_url}/api/v1/current-user", headers={"Authorization": f"Bearer {token}"}, timeout=30
    )
    assert answer.json()["name"] == "ci"


def test_token_is_minted_for_as_long_as_the_server_allows(server: ZenMLServer) -> None:
    assert server.mint_token(10**9).count(".") == 2


@pytest.mark.parametrize(
    ("fault", "makes_none"),
    [
        (Fault.status(404, message="Not Found"), True),
        (Fault.status(501, message="Not Implemented"), True),
        (Fault.status(400, message="Generic API tokens are not supported by this server."), True),
        (Fault.status(429), False),
        (Fault.status(500), False),
        (Fault.status(403), False),
        (Fault.html(404), False),
        (Fault.html(), False),
        (Fault.body("{}"), False),
        (Fault.body('""'), False),
        (Fault.reset(), False),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_only_the_servers_own_word_means_that_it_makes_no_tokens(
    zenml_stack: Stack, monkeypatch: pytest.MonkeyPatch, fault: Fault, makes_none: bool
) -> None:
    monkeypatch.setattr("lightning_zenml.zenml_api.server._PAUSES_OF_MINTING", (0.0, 0.0))
    with chaos(zenml_stack) as proxied:
        server = ZenMLServer(proxied.zenml.url, zenml_stack.zenml_api_key, retries=0)
        proxied.zenml.fault(fault, "GET", "/api/v1/api_token")
        with pytest.raises(ZenMLServerError) as refused:
            server.mint_token(3600)
        assert isinstance(refused.value, NoTokensError) is makes_none
        proxied.zenml.clear()
        # Once is never enough.
        proxied.zenml.fault(fault, "GET", "/api/v1/api_token", times=1)
        assert server.mint_token(3600).count(".") == 2


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault.status(status) for status in (401, 403, 404, 500)),
        *(Fault.html(), Fault.cut_short(), Fault.body("{}"), Fault.body("[]"), Fault.body("null")),
        *(Fault.without("id"), Fault.without("body"), Fault.without("items"), Fault.wrong_types()),
    ],
    ids=lambda fault: fault.name,
)
def test_one_odd_answer_is_asked_for_again(zenml_stack: Stack, no_pauses: None, fault: Fault) -> None:
    with chaos(zenml_stack) as proxied:
        for route in ("info", "login", "current-user", "stacks", "components", "projects/.*"):
            proxied.zenml.fault(fault, route=f"/api/v1/{route}", nth=1)
        server = ZenMLServer(proxied.zenml.url, zenml_stack.zenml_api_key)

        assert server.info().version
        assert server.stack().id == zenml_stack.id
        assert server.project().name == "default"


@pytest.mark.parametrize("route", ["/api/v1/info", "/api/v1/login"])
def test_a_server_that_breaks_off_each_connection_is_waited_for(zenml_stack: Stack, route: str) -> None:
    """As what stands before a server does while that is started anew."""
    with chaos(zenml_stack) as proxied:
        proxied.zenml.fault(Fault.away(9), route=route, nth=1)
        server = ZenMLServer(proxied.zenml.url, zenml_stack.zenml_api_key)
        assert server.info().version
        assert server.project().name == "default"
        assert proxied.zenml.met


def test_what_never_fits_is_told_plainly(zenml_stack: Stack, no_pauses: None) -> None:
    with chaos(zenml_stack) as proxied:
        proxied.zenml.fault(Fault.without("components"), route="/api/v1/stacks")
        server = ZenMLServer(proxied.zenml.url, zenml_stack.zenml_api_key)

        with pytest.raises(ZenMLServerError, match="answer lacks something"):
            server.stack()


def test_access_token_that_ran_out_is_renewed(server: ZenMLServer) -> None:
    server.project()
    server.rest._token = "ran.out.long-ago"

    assert server.project().name == "default"


def test_project(server: ZenMLServer) -> None:
    default = server.project()

    assert default.name == "default"
    assert server.project(default.id) == server.project("default") == default
    with pytest.raises(ZenMLServerError, match="nope") as refused:
        server.project("nope")
    assert refused.value.status == 404


def test_stack(server: ZenMLServer, zenml_stack: Stack) -> None:
    stack = server.stack()

    assert (stack.id, stack.name) == (zenml_stack.id, "lightning")
    assert stack.orchestrator == "lightning_orchestrator"
    assert stack.orchestrator_flavor == "lightning"
    assert stack.integrations == ("lightning", "s3")
    assert stack.teamspace == Teamspace(name="vision", organization="acme")
    assert server.stack(stack.id) == server.stack("lightning") == stack
    with pytest.raises(ZenMLServerError, match="no ZenML stack `nope`; there are: default, lightning"):
        server.stack("nope")


def test_unknown_run(server: ZenMLServer, no_pauses: None) -> None:
    with pytest.raises(ZenMLServerError, match="No pipeline run with this ID") as refused:
        server.run(UNKNOWN)
    assert refused.value.status == 404


def test_bad_key(zenml_stack: Stack) -> None:
    with pytest.raises(ZenMLServerError, match="refuses the API key") as refused:
        ZenMLServer(zenml_stack.zenml_url, "ZENKEY_nonsense").project()
    assert refused.value.status == 401
    assert "nonsense" not in str(refused.value)


def test_unreachable() -> None:
    with pytest.raises(ZenMLServerError, match="can't be reached") as refused:
        ZenMLServer(f"http://127.0.0.1:{free_port()}", "key", retries=1).info()
    assert refused.value.status is None


def test_other_kind_of_server(zenml_stack: Stack) -> None:
    with pytest.raises(ZenMLServerError):
        ZenMLServer(zenml_stack.s3_url, "key", retries=0).info()
