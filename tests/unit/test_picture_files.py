"""What goes into an artifact of the workflow run: its name, the paths in it, pages; and where there can be none."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_zenml.action.github.artifacts.runtime import ArtifactError, Runtime
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.report.visualizations.artifact import name_of, paths_of
from lightning_zenml.action.report.visualizations.reading import page
from lightning_zenml.action.report.visualizations.records import VisualizationFile


def redact(text: str) -> str:
    return text.replace("hunter2", "***").replace("a&b-secret", "***")


def file(run: str = "train-1", artifact: str = "plot", name: str = "plot", ending: str = "png") -> VisualizationFile:
    return VisualizationFile(run=run, artifact=artifact, name=name, ending=ending, content=b"")


def token(scope: Any) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"scp": scope}).encode()).decode().rstrip("=")
    return f"e30.{claims}.c2ln"


RUNTIME = {
    "GITHUB_SERVER_URL": "https://github.com",
    "ACTIONS_RESULTS_URL": "https://results-receiver.actions.githubusercontent.com/",
    "ACTIONS_RUNTIME_TOKEN": token("Actions.ExampleScope Actions.Results:ce7f-1:ca39-2"),
}


def test_the_runtime_is_read_from_variables_and_the_token_s_claims() -> None:
    runtime = Runtime.from_environ(RUNTIME)
    assert (runtime.origin, runtime.run_id, runtime.job_id) == (RUNTIME["ACTIONS_RESULTS_URL"][:-1], "ce7f-1", "ca39-2")
    assert runtime.token not in repr(runtime)


@pytest.mark.parametrize("server", ["", "https://github.com", "https://octo.ghe.com", "http://github.localhost"])
def test_servers_of_github_itself_take_artifacts(server: str) -> None:
    assert Runtime.from_environ({**RUNTIME, "GITHUB_SERVER_URL": server})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"GITHUB_SERVER_URL": "https://github.example.com"}, "Enterprise Server"),
        ({"GITHUB_SERVER_URL": "https://notghe.com"}, "Enterprise Server"),
        ({"ACTIONS_RESULTS_URL": ""}, "no ACTIONS_RESULTS_URL, which .* not its `/composite`"),
        ({"ACTIONS_RUNTIME_TOKEN": ""}, "no ACTIONS_RUNTIME_TOKEN, which"),
        ({"ACTIONS_RESULTS_URL": "", "ACTIONS_RUNTIME_TOKEN": ""}, "no ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN"),
        ({"ACTIONS_RESULTS_URL": "http://results.example/"}, "no address to which a token may go"),
        ({"ACTIONS_RESULTS_URL": "results.example"}, "no address to which a token may go"),
        ({"ACTIONS_RUNTIME_TOKEN": "opaque"}, "names no workflow run"),
        ({"ACTIONS_RUNTIME_TOKEN": "a.b.c"}, "names no workflow run"),
        ({"ACTIONS_RUNTIME_TOKEN": token("Actions.ExampleScope")}, "names no workflow run"),
        ({"ACTIONS_RUNTIME_TOKEN": token("Actions.Results:only-one")}, "names no workflow run"),
        ({"ACTIONS_RUNTIME_TOKEN": token(["Actions.Results:1:2"])}, "names no workflow run"),
    ],
)
def test_where_there_is_no_such_service_says_what_to_do(changes: dict[str, str], why: str) -> None:
    with pytest.raises(ArtifactError, match=why) as caught:
        Runtime.from_environ({**RUNTIME, **changes})
    assert "`pictures: branch`" in str(caught.value)
    given = {**RUNTIME, **changes}["ACTIONS_RUNTIME_TOKEN"]
    assert not given or given not in str(caught.value)


@pytest.mark.parametrize(
    ("attempt", "leg", "name"),
    [
        ("1", "", "pictures-train"),
        ("1", "gpu=T4, lr=0.1", "pictures-train-gpu=T4, lr=0.1"),
        ("3", 'a/b:"c"', "pictures-train-a_b_c_-attempt 3"),
        ("1", "key=hunter2", "pictures-train-key=_"),
    ],
)
def test_the_name_tells_job_leg_and_attempt(attempt: str, leg: str, name: str) -> None:
    event = Event.from_environ({"GITHUB_JOB": "train", "GITHUB_RUN_ATTEMPT": attempt}, read=lambda path: "{}")
    assert name_of(event, leg, redact) == name


def test_a_path_that_is_taken_gets_a_number() -> None:
    files = [file(), file(), file(name="PLOT"), file(ending="html"), file(name="plot-2"), file(run="train-2")]
    assert paths_of(files, redact) == (
        "train-1/plot/plot.png",
        "train-1/plot/plot-2.png",
        "train-1/plot/PLOT-3.png",
        "train-1/plot/plot.html",
        "train-1/plot/plot-2-2.png",
        "train-2/plot/plot.png",
    )


def test_paths_hide_secrets() -> None:
    assert paths_of([file("hunter2", "of hunter2", "x-hunter2")], redact) == ("_/of _/x-_.png",)


@given(st.lists(st.text(max_size=200), min_size=3, max_size=3))
@settings(max_examples=200)
def test_paths_are_names_everywhere(names: list[str]) -> None:
    first, second = paths_of([file(*names), file(*names)], redact)
    assert first != second
    for path in (first, second):
        assert len(path.split("/")) == 3
        assert all(word.strip(". ") and len(word) <= 90 for word in path.split("/"))
        assert not set(path) & set('\\:*?"<>|\r\n\0')


def test_a_page_shows_no_secret() -> None:
    assert page("<b>hunter2 é</b>", redact) == "<b>*** é</b>".encode()
    assert page("<b>a&amp;b-secret</b>", redact) is None
    assert page("<b>&#104;unter2</b>", redact) is None
    assert page("\ud800", redact) == b"?"
