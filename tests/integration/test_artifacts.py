"""Artifacts of a workflow run: the real client against the stand-in for GitHub's service, over HTTP."""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import requests

from lightning_zenml.action.github.artifacts import results
from lightning_zenml.action.github.artifacts.results import MOST_NAMES, TRIES, ResultsService
from lightning_zenml.action.github.artifacts.runtime import ArtifactError, Runtime
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report.visualizations.artifact import PicturesInArtifact
from lightning_zenml.action.report.visualizations.records import VisualizationFile
from localcloud.github import GitHub

CREATE, FINALIZE, LIST = (f"ArtifactService/{name}" for name in ("CreateArtifact", "FinalizeArtifact", "ListArtifacts"))
REQUESTS = [("POST", CREATE), ("PUT", "/blobs/"), ("POST", FINALIZE)]


@pytest.fixture
def server() -> Iterator[GitHub]:
    with GitHub() as server:
        yield server
        assert server.refused == []


def runtime(server: GitHub) -> dict[str, str]:
    return {"ACTIONS_RESULTS_URL": server.results_url, "ACTIONS_RUNTIME_TOKEN": server.results.runtime_token}


def service(server: GitHub, **changes: str) -> ResultsService:
    mine = replace(Runtime.from_environ(runtime(server)), **changes)
    return ResultsService(mine, mask=lambda secret: None, sleep=lambda seconds: None)


def methods(server: GitHub) -> list[str]:
    return [request.path.rpartition("/")[2] for request in server.requests if request.method == "POST"]


def test_an_artifact_is_uploaded_with_size_and_digest(server: GitHub) -> None:
    number = service(server).upload("pictures-train", b"PK\xff")
    (artifact,) = server.results.artifacts
    assert (artifact.id, artifact.name, artifact.content) == (number, "pictures-train", b"PK\xff")
    assert methods(server) == ["CreateArtifact", "FinalizeArtifact"]
    (blob,) = [request for request in server.requests if request.method == "PUT"]
    assert "authorization" not in blob.headers


def test_a_name_that_is_taken_gets_a_number(server: GitHub) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda content: service(server).upload("pictures", content), (b"1", b"2", b"3")))
    assert {one.name for one in server.results.artifacts} == {"pictures", "pictures-2", "pictures-3"}
    assert {one.content for one in server.results.artifacts} == {b"1", b"2", b"3"}


def test_names_are_not_tried_for_ever(server: GitHub) -> None:
    server.fail("POST", CREATE, 409, times=1000)
    with pytest.raises(ArtifactError, match=f"{MOST_NAMES} artifacts of the name"):
        service(server).upload("pictures", b"1")
    assert len(server.requests) == MOST_NAMES


def test_ids_may_be_numbers_and_fields_in_camel_case(server: GitHub) -> None:
    server.results.tells_ids_as_numbers = True
    server.lose_answers("POST", FINALIZE)
    number = service(server).upload("pictures", b"1")
    assert [one.id for one in server.results.artifacts] == [number]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_a_lost_answer_is_no_matter(server: GitHub, method: str, path: str) -> None:
    server.lose_answers(method, path)
    number = service(server).upload("pictures", b"1")
    assert [one.id for one in server.results.artifacts] == [number]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503, None])
def test_an_odd_answer_decides_nothing(server: GitHub, method: str, path: str, status: int | None) -> None:
    server.fail(method, path, status, times=TRIES - 1)
    number = service(server).upload("pictures", b"1")
    assert [one.id for one in server.results.artifacts] == [number]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
@pytest.mark.parametrize("status", [400, 403, 500, None])
def test_github_that_takes_none_is_not_asked_for_ever(
    server: GitHub, method: str, path: str, status: int | None
) -> None:
    server.fail(method, path, status, times=1000)
    with pytest.raises(ArtifactError):
        service(server).upload("pictures", b"1")
    assert server.results.artifacts == []
    assert len(server.requests) <= 3 + 2 * TRIES


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"token": "of.another.job"}, "401: invalid token"),
        ({"run_id": "another"}, "403: the token is not of this workflow run"),
        ({"job_id": "another"}, "403: the token is not of this workflow run"),
    ],
)
def test_a_job_that_the_service_doesn_t_know_is_refused(server: GitHub, changes: dict[str, str], why: str) -> None:
    with pytest.raises(ArtifactError, match=why):
        service(server, **changes).upload("pictures", b"1")


@pytest.mark.parametrize("name", ["", *(f"a{character}b" for character in '":<>|*?\r\n\\/')])
def test_a_name_that_some_file_system_refuses_is_refused(server: GitHub, name: str) -> None:
    with pytest.raises(ArtifactError, match="the artifact name is not valid"):
        service(server).upload(name, b"1")
    assert len(server.requests) == 1


def test_storage_that_is_used_up_is_called_so(server: GitHub) -> None:
    server.results.is_full = True
    with pytest.raises(ArtifactError, match="this account's plan has is used up"):
        service(server).upload("pictures", b"1")
    assert len(server.requests) == 1


def call(server: GitHub, method: str, **fields: object) -> requests.Response:
    """What the stand-in answers to a client that gets something wrong."""
    mine = Runtime.from_environ(runtime(server))
    ids = {"workflow_run_backend_id": mine.run_id, "workflow_job_run_backend_id": mine.job_id}
    return requests.post(
        f"{mine.origin}/twirp/github.actions.results.api.v1.ArtifactService/{method}",
        json={**ids, **fields},
        headers={"Authorization": f"Bearer {mine.token}"},
        timeout=60,
    )


def test_the_stand_in_is_strict(server: GitHub) -> None:
    made = {"name": "a", "version": 7, "mime_type": "application/zip"}
    assert call(server, "CreateArtifact", name="a").status_code == 400
    assert call(server, "CreateArtifact", **made, more=1).status_code == 400
    assert call(server, "CreateArtifact", **{**made, "version": 1}).status_code == 400
    assert call(server, "MakeArtifact", **made).status_code == 404
    address = call(server, "CreateArtifact", **made).json()["signed_upload_url"]
    assert call(server, "CreateArtifact", **made).status_code == 409
    assert call(server, "FinalizeArtifact", name="b", size="1").status_code == 404
    assert call(server, "FinalizeArtifact", name="a", size="1").status_code == 412

    def put(address: str, **headers: str) -> int:
        return requests.put(address, data=b"1", headers=headers, timeout=60).status_code

    kind = {"x-ms-blob-type": "BlockBlob"}
    assert put(re.sub("sig=.*", "sig=x", address), **kind) == 403
    assert put(address, **kind, Authorization="Bearer x") == 403
    assert put(address) == 400
    assert put(address, **kind) == 201
    assert call(server, "FinalizeArtifact", name="a", size="2").status_code == 400
    assert call(server, "FinalizeArtifact", name="a", size="1", hash="sha256:0").status_code == 400
    assert call(server, "FinalizeArtifact", name="a", size=1).status_code == 400
    assert call(server, "FinalizeArtifact", name="a", size="1").json()["ok"] is True
    assert call(server, "FinalizeArtifact", name="a", size="1").status_code == 404


def test_an_upload_ends_in_time_whatever_github_does(server: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PATIENCE", 0.5)
    # The second request never comes.
    server.meet("PUT", "/blobs/")
    with pytest.raises(ArtifactError, match="doesn't answer"):
        service(server).upload("pictures", b"1")
    assert server.results.artifacts == []


def test_neither_token_nor_signature_stands_anywhere(server: GitHub, caplog: pytest.LogCaptureFixture) -> None:
    log = io.StringIO()
    workflow = Workflow({}, log)
    environ = runtime(server)
    event = Event.from_environ({"GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7"}, read=lambda path: "{}")
    pictures = PicturesInArtifact(event, "", environ, workflow, sleep=lambda seconds: None)
    file = VisualizationFile(run="train-1", artifact="plot", name="plot", ending="png", content=b"1")
    server.fail("PUT", "/blobs/", None, times=1000)
    with caplog.at_level(logging.DEBUG, "lightning_zenml"), pytest.raises(ArtifactError) as caught:
        pictures.publish([file])
    told = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    masks, others = [], []
    for line in log.getvalue().splitlines():
        (masks if line.startswith("::add-mask::") else others).append(line)
    assert f"::add-mask::{server.results.signature}" in masks
    assert server.results.signature not in workflow.redact(f"see {server.results.signature}")
    for secret in (server.results.signature, environ["ACTIONS_RUNTIME_TOKEN"]):
        assert secret not in told
        assert secret not in "".join(others)


def test_what_is_reported_twice_is_uploaded_once(server: GitHub) -> None:
    event = Event.from_environ({"GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7"}, read=lambda path: "{}")
    pictures = PicturesInArtifact(event, "", runtime(server), Workflow({}, io.StringIO()), sleep=lambda seconds: None)
    files = [
        VisualizationFile(run="train-1", artifact="plot", name=name, ending="png", content=b"1") for name in ("a", "b")
    ]
    first = pictures.publish(files)
    assert pictures.publish(list(files)) == first
    assert len(pictures.publish(files[:1])) == 1
    one, other = server.results.artifacts
    assert {place.url for place in first} == {f"https://github.com/o/r/actions/runs/7/artifacts/{one.id}"}
    assert (one.name, other.name) == ("pictures", "pictures-2")
    with zipfile.ZipFile(io.BytesIO(one.content or b"")) as archive:
        assert archive.namelist() == ["train-1/plot/a.png", "train-1/plot/b.png"]
