"""The chaos proxy, met by the clients that the product has: requests, the generated client of lightning-sdk, boto3."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
import requests
from botocore.config import Config

from lightning_api import QUICK, credentials, eventually, lent
from lightning_zenml.launch.errors import CredentialsError
from lightning_zenml.launch.lightning.client import Lightning
from lightning_zenml.launch.lightning.failures import ApiError
from localcloud.chaos import Fault, Position, Proxy, chaos, route_of
from localcloud.github import GitHub
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from localcloud.tls import certify

STUDIOS = r"/v1/projects/{id}/cloudspaces"
COMMENTS = r"/repos/octo/model/issues/{id}/comments"


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub() as github:
        github.add_pull_request("octo/model", 7, head_sha="a" * 40, head_ref="better")
        yield github


@pytest.fixture
def proxy(github: GitHub) -> Iterator[Proxy]:
    with Proxy("github", github.url, addresses={}) as proxy:
        yield proxy


@pytest.fixture
def session(github: GitHub) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {github.token}"
        session.trust_env = False
        yield session


def comment(session: requests.Session, proxy: Proxy, number: int = 7, timeout: float = 20) -> requests.Response:
    url = f"{proxy.url}/repos/octo/model/issues/{number}/comments"
    return session.post(url, json={"body": "hello"}, timeout=timeout)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        (
            "/v1/projects/01jm8n2c4d5e6f7g8h9j0k1m2n/cloudspaces/01jm8n2c4d5e6f7g8h9j0k1m2p?a=1",
            "/v1/projects/{id}/cloudspaces/{id}",
        ),
        ("/api/v1/runs/0b6d3c54-8a3e-4bb1-9a9a-0123456789ab/steps", "/api/v1/runs/{id}/steps"),
        ("/repos/octo/model/issues/12/comments", "/repos/octo/model/issues/{id}/comments"),
        ("/repos/octo/model/statuses/" + "ab12" * 10, "/repos/octo/model/statuses/{id}"),
        ("/v1/studios/zenml-model-1a2b3c4d", "/v1/studios/zenml-model-{id}"),
    ],
)
def test_routes_have_placeholders_for_ids(path: str, route: str) -> None:
    assert route_of(path) == route


def test_positions() -> None:
    assert [position.of(5) for position in Position] == [1, 3, 5]
    assert [position.of(1) for position in Position] == [1, 1, 1]


def test_all_goes_well_and_is_recorded(github: GitHub, proxy: Proxy, session: requests.Session) -> None:
    assert comment(session, proxy).status_code == 201
    assert comment(session, proxy).json()["body"] == "hello"
    calls = [(call.service, call.method, call.route, call.position, call.status) for call in proxy.calls]
    assert calls == [("github", "POST", COMMENTS, 1, 201), ("github", "POST", COMMENTS, 2, 201)]
    assert proxy.calls.counts() == {("github", "POST", COMMENTS): 2}
    assert len(github.comments("octo/model", 7)) == 2


@pytest.mark.parametrize(
    ("fault", "status", "retry_after"),
    [
        (Fault.status(401), 401, None),
        (Fault.status(403), 403, None),
        (Fault.status(404), 404, None),
        (Fault.status(429), 429, None),
        (Fault.status(429, retry_after="86400"), 429, "86400"),
        (Fault.status(503, retry_after="soon"), 503, "soon"),
        (Fault.status(500), 500, None),
        (Fault.html(), 200, None),
        (Fault.html(502), 502, None),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_an_answer_of_the_proxys_own(
    github: GitHub, proxy: Proxy, session: requests.Session, fault: Fault, status: int, retry_after: str | None
) -> None:
    proxy.fault(fault, "POST", COMMENTS, times=1)
    proxy.fault(fault.after_execution(), "POST", COMMENTS, nth=2)
    answer = comment(session, proxy)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry_after)
    assert ("html" in answer.text) == fault.name.startswith("HTML")
    assert github.comments("octo/model", 7) == []
    assert comment(session, proxy).status_code == status
    assert len(github.comments("octo/model", 7)) == 1
    assert comment(session, proxy).status_code == 201
    assert [call.fault for call in proxy.met] == [fault.name] * 2


@pytest.mark.parametrize("body", ["[]", "{}", "null", '"text"'])
def test_a_body_of_another_shape(github: GitHub, proxy: Proxy, session: requests.Session, body: str) -> None:
    proxy.fault(Fault.body(body), "POST", nth=1)
    assert comment(session, proxy).text == body
    assert len(github.comments("octo/model", 7)) == 1


def test_members_left_out_and_of_wrong_types(proxy: Proxy, session: requests.Session) -> None:
    proxy.fault(Fault.without("id"), nth=1)
    proxy.fault(Fault.wrong_types(), nth=2)
    without, wrong, well = (comment(session, proxy).json() for _ in range(3))
    assert set(well) - set(without) == {"id"}
    assert "id" not in without["user"]
    assert (wrong["id"], wrong["body"]) == ("seven", 7)


@pytest.mark.parametrize(("fault", "made"), [(Fault.reset(), 0), (Fault.reset(after=True), 1), (Fault.cut_short(), 1)])
def test_a_connection_that_is_lost(
    github: GitHub, proxy: Proxy, session: requests.Session, fault: Fault, made: int
) -> None:
    proxy.fault(fault, "POST", nth=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        comment(session, proxy)
    assert len(github.comments("octo/model", 7)) == made
    assert comment(session, proxy).status_code == 201


def test_a_call_that_hangs_keeps_no_other_waiting(github: GitHub, proxy: Proxy, session: requests.Session) -> None:
    proxy.fault(Fault.hang(), nth=1)
    with pytest.raises(requests.ReadTimeout):
        comment(session, proxy, timeout=0.2)
    assert comment(session, proxy).status_code == 201
    assert len(github.comments("octo/model", 7)) == 1


def test_an_answer_that_drips_or_is_late_is_whole(proxy: Proxy, session: requests.Session) -> None:
    proxy.fault(Fault.slow_drip(0.01), nth=1)
    proxy.fault(Fault.late(0.1), nth=2)
    began = time.monotonic()
    assert [comment(session, proxy).json()["body"] for _ in range(2)] == ["hello"] * 2
    assert time.monotonic() - began > 0.3


def test_an_outage(github: GitHub, proxy: Proxy, session: requests.Session) -> None:
    proxy.fault(Fault.away(0.5), nth=2)
    assert comment(session, proxy).status_code == 201
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            comment(session, proxy)

    def back() -> bool:
        try:
            return comment(session, proxy).ok
        except requests.ConnectionError:
            return False

    eventually(back)
    proxy.go_away(3600)
    with pytest.raises(requests.ConnectionError):
        comment(session, proxy)
    proxy.clear()
    assert back()
    assert len(github.comments("octo/model", 7)) == 3


def test_connections_cut_every_few_moments(proxy: Proxy, session: requests.Session) -> None:
    proxy.fault(Fault.late(0.2))
    with proxy.cutting_connections(0.05), pytest.raises(requests.ConnectionError):
        comment(session, proxy)
    assert comment(session, proxy).ok


def test_which_calls_meet_a_fault(proxy: Proxy, session: requests.Session) -> None:
    rule = proxy.fault(Fault.status(500), "POST|PATCH", every=3)
    proxy.fault(Fault.status(503), "GET", ".*")
    assert [comment(session, proxy).status_code for _ in range(7)] == [201, 201, 500, 201, 201, 500, 201]
    assert (rule.seen, rule.met) == (7, 2)


def test_a_seed_decides_what_happens_at_random(github: GitHub, session: requests.Session) -> None:
    def statuses(seed: int) -> list[int]:
        with Proxy("github", github.url, addresses={}, seed=seed) as proxy:
            proxy.fault(Fault.status(500), share=0.5)
            return [comment(session, proxy).status_code for _ in range(20)]

    assert statuses(1) == statuses(1)
    assert set(statuses(1)) == {201, 500}
    assert statuses(1) != statuses(2)


def test_links_in_answers_stay_on_the_way(github: GitHub, session: requests.Session) -> None:
    addresses: dict[str, str] = {}
    with Proxy("github", github.url, addresses=addresses) as proxy:
        addresses[github.url] = proxy.url
        for _ in range(2):
            answer = comment(session, proxy)
        assert answer.json()["url"].startswith(proxy.url)
        url = f"{proxy.url}/repos/octo/model/issues/7/comments?per_page=1"
        assert session.get(url, timeout=60).links["next"]["url"].startswith(proxy.url)


def test_many_at_once(proxy: Proxy, github: GitHub) -> None:
    def one(_: int) -> int:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {github.token}"
            return comment(session, proxy).status_code

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(48))) == [201] * 48
    assert sorted(call.position for call in proxy.calls) == list(range(1, 49))


def test_tls_on_both_sides(tmp_path: Path, session: requests.Session) -> None:
    trusted, certificate = certify(tmp_path)
    session.verify = str(trusted)
    with GitHub(path="/api/v3", certificate=certificate) as github:
        github.add_pull_request("octo/model", 7, head_sha="a" * 40, head_ref="better")
        with Proxy("github", github.url, certificate=certificate, trusted=trusted) as proxy:
            assert proxy.url.startswith("https://")
            assert proxy.url.endswith("/api/v3")
            proxy.fault(Fault.reset(after=True), nth=1)
            with pytest.raises(requests.ConnectionError):
                comment(session, proxy)
            assert comment(session, proxy).status_code == 201
        assert len(github.comments("octo/model", 7)) == 2


@pytest.fixture
def cloud(running_cloud: LightningCloud) -> Iterator[LightningCloud]:
    with lent(running_cloud, **QUICK) as cloud:
        yield cloud


@pytest.fixture
def before_lightning(cloud: LightningCloud) -> Iterator[Proxy]:
    addresses: dict[str, str] = {}
    with Proxy("lightning", cloud.url, addresses=addresses) as proxy:
        addresses[cloud.url] = proxy.url
        yield proxy


def test_the_products_client_through_the_proxy(cloud: LightningCloud, before_lightning: Proxy) -> None:
    lightning = Lightning.connect(credentials(cloud), url=before_lightning.url)
    assert lightning.teamspace == cloud.teamspace
    service = lightning.client
    arguments = (lightning.teamspace_id,)

    before_lightning.fault(Fault.status(503), "GET", STUDIOS, nth=1)
    before_lightning.fault(Fault.reset(), "GET", STUDIOS, nth=2)
    before_lightning.fault(Fault.reset(after=True), "GET", STUDIOS, nth=3)
    lightning.call(service.cloud_space_service_list_cloud_spaces, *arguments)
    assert [call.fault for call in before_lightning.met] == ["503", "reset before", "reset after"]

    before_lightning.fault(Fault.status(401), "GET", STUDIOS, times=3)
    with pytest.raises(CredentialsError):
        lightning.call(service.cloud_space_service_list_cloud_spaces, *arguments, idempotent=False)
    before_lightning.fault(Fault.status(404), "GET", STUDIOS, times=3)
    with pytest.raises(ApiError, match="404"):
        lightning.call(service.cloud_space_service_list_cloud_spaces, *arguments, idempotent=False)


def test_a_chaotic_stack(zenml_stack: Stack) -> None:
    with chaos(zenml_stack) as proxied:
        assert proxied.environment["ZENML_STORE_URL"] == proxied.zenml.url
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {zenml_stack.zenml.token}"
            listing = session.get(f"{proxied.zenml.url}/api/v1/components?name=s3_store&hydrate=true", timeout=60)
            (store,) = listing.json()["items"]
        assert proxied.s3.url == store["metadata"]["configuration"]["client_kwargs"]["endpoint_url"]

        client = boto3.client(
            "s3",
            endpoint_url=proxied.s3.url,
            aws_access_key_id=zenml_stack.s3.key,
            aws_secret_access_key=zenml_stack.s3.secret,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 4}),
        )
        proxied.s3.fault(Fault.reset(after=True), "PUT", nth=1)
        proxied.s3.fault(Fault.cut_short(), "GET", r"/zenml/chaos/key", nth=1)
        client.put_object(Bucket="zenml", Key="chaos/key", Body=b"value" * 1000)
        assert client.head_object(Bucket="zenml", Key="chaos/key")["ContentLength"] == 5000
        with pytest.raises(Exception, match=r"incomplete|IncompleteRead|broken"):
            client.get_object(Bucket="zenml", Key="chaos/key")["Body"].read()
        assert client.get_object(Bucket="zenml", Key="chaos/key")["Body"].read() == b"value" * 1000
        client.close()
        assert {call.service for call in proxied.calls} == {"zenml", "s3"}
        assert [str(replace(call, position=1)) for call in proxied.s3.met] == [
            "s3 PUT /zenml/chaos/key #1 -> no answer [reset after]",
            "s3 GET /zenml/chaos/key #1 -> 200 [cut]",
        ]
