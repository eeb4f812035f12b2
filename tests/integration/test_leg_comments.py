"""Legs of a workflow that write one comment on GitHub's stand-in, at the same time and one after the other."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lightning_zenml.action.github.client import GitHub, UnreachableError
from lightning_zenml.action.github.comments import Comment, Comments, Compose, Marker
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover
from lightning_zenml.action.inputs import Inputs, InputsError
from lightning_zenml.action.report import MetricReport, RunReport, State
from lightning_zenml.action.report.legs.record import Leg, legs_in
from lightning_zenml.action.report.legs.writer import LegWriter
from lightning_zenml.action.report.reporter import Reporter
from localcloud.github import GitHub as LocalGitHub

REPOSITORY, HEAD, NUMBER = "octo/repo", "a" * 40, 5
ENVIRON = {
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_REPOSITORY": REPOSITORY,
    "GITHUB_SHA": HEAD,
    "GITHUB_RUN_ID": "7",
    "INPUT_RUN": "python run.py",
    "INPUT_COMMENT-KEY": "sweep",
    "INPUT_LIGHTNING-API-KEY": "key",
    "INPUT_ZENML-STORE-URL": "https://zenml.example",
    "INPUT_ZENML-STORE-API-KEY": "key",
}


@pytest.fixture
def server() -> Iterator[LocalGitHub]:
    with LocalGitHub() as server:
        server.add_pull_request(REPOSITORY, NUMBER, HEAD)
        yield server
        assert server.refused == []


def reporter(server: LocalGitHub, rate: str, folder: Path, **environ: str) -> Reporter:
    matrix = {"INPUT_LEG": f"rate={rate}", "INPUT_MATRIX": json.dumps({"rate": rate, "key": "hunter2hunter2"})}
    environ = {**ENVIRON, **matrix, **environ}
    event, workflow = Event.from_environ(environ), Workflow({"GITHUB_STATE": str(folder / rate)}, io.StringIO())
    workflow.mask("hunter2hunter2")
    github = GitHub(server.url, server.token, sleep=lambda seconds: None)
    return Reporter(workflow, Handover(workflow), github, event, Origin.of(event, Inputs.from_environ(environ)))


def told(server: LocalGitHub) -> dict[str, Leg]:
    (comment,) = server.comments(REPOSITORY, NUMBER)
    return legs_in(comment.body)


def completed(accuracy: float) -> dict[str, object]:
    metric = MetricReport(name="accuracy", source="run", value=accuracy, better="higher")
    return {"state": State.COMPLETED, "runs": (RunReport(run_name="tiny-1", metrics=(metric,)),)}


def test_legs_share_a_comment_and_each_has_a_status(server: LocalGitHub, tmp_path: Path) -> None:
    small, large = (reporter(server, rate, tmp_path) for rate in ("0.1", "10"))
    for one in (small, large):
        one.update(state=State.RUNNING)
        assert one.settle(300)
    assert {name: leg.state for name, leg in told(server).items()} == {"rate=0.1": "running", "rate=10": "running"}
    small.update(**completed(0.93))  # type: ignore[arg-type]
    large.update(**completed(0.81))  # type: ignore[arg-type]
    (comment,) = server.comments(REPOSITORY, NUMBER)
    assert "2 ✅ completed" in comment.body
    (best,) = [line for line in comment.body.splitlines() if "🏆" in line]
    assert "rate&#61;0.1" in best
    assert told(server)["rate=0.1"].parameters == (("rate", "0.1"), ("key", "***"))
    contexts = {status.context for status in server.statuses(REPOSITORY, HEAD)}
    assert contexts == {"sweep (rate=0.1)", "sweep (rate=10)"}


def test_a_newer_run_begins_anew_and_an_attempt_goes_on(server: LocalGitHub, tmp_path: Path) -> None:
    for rate in ("1", "2"):
        reporter(server, rate, tmp_path).update(state=State.FAILED)
    reporter(server, "2", tmp_path, GITHUB_RUN_ATTEMPT="2").update(state=State.COMPLETED)
    assert {name: leg.state for name, leg in told(server).items()} == {"rate=1": "failed", "rate=2": "completed"}
    # What is left of the first attempt has nothing to say any more.
    reporter(server, "2", tmp_path).update(state=State.CANCELLED)
    assert told(server)["rate=2"].state == "completed"
    reporter(server, "1", tmp_path, GITHUB_RUN_ID="8").update(state=State.COMPLETED)
    assert {name: leg.run_id for name, leg in told(server).items()} == {"rate=1": 8}


class Watched(Comments):
    """Comments of which it is known whether anybody is between reading and writing."""

    changed = threading.Condition()
    writing = 0

    def put(self, number: int, body: str | Compose, comment_id: int | None = None) -> Comment | None:
        with self.changed:
            Watched.writing += 1
        try:
            return super().put(number, body, comment_id)
        finally:
            with self.changed:
                Watched.writing -= 1
                self.changed.notify_all()

    @classmethod
    def settle(cls, seconds: float) -> None:
        """Waits as long as somebody may write what was read before: what `SETTLE` stands for."""
        with cls.changed:
            assert cls.changed.wait_for(lambda: cls.writing == 0, 300)


def leg(number: int, state: State = State.COMPLETED) -> Leg:
    return Leg(name=f"leg {number}", state=state.value, run_id=7, run_attempt=1, updated=float(number))


def write(server: LocalGitHub, own: Leg, *, is_last: bool = True) -> Comment | None:
    marker = Marker(key="sweep", run_id=7, run_attempt=1)
    comments = Watched(GitHub(server.url, server.token), REPOSITORY, marker)
    writer = LegWriter(marker, "sweep", None, Watched.settle)
    return writer.put(comments, NUMBER, own, None, is_last=is_last)


@pytest.mark.parametrize("exists", [True, False], ids=["there is a comment", "there is none yet"])
def test_who_writes_at_the_same_time_takes_no_row_away_for_good(server: LocalGitHub, exists: bool) -> None:
    if exists:
        write(server, leg(99))
    # All read the same, and write what they have made of it: of each round one row is new.
    server.meet("GET", f"/issues/{NUMBER}/comments", parties=5)
    with ThreadPoolExecutor(5) as pool:
        written = list(pool.map(lambda number: write(server, leg(number)), range(5)))
    assert all(written)
    assert set(told(server)) == {leg(number).name for number in range(5)} | ({"leg 99"} if exists else set())


def test_a_leg_that_goes_on_gives_others_back_what_it_has_seen(server: LocalGitHub) -> None:
    marker = Marker(key="sweep", run_id=7, run_attempt=1)
    comments = Comments(GitHub(server.url, server.token), REPOSITORY, marker)
    running = LegWriter(marker, "sweep", None, lambda seconds: None)
    write(server, leg(1))
    first = running.put(comments, NUMBER, leg(2, State.RUNNING), None, is_last=False)
    assert first
    (comment,) = server.comments(REPOSITORY, NUMBER)
    comment.history.append(f"{marker}\nsomebody has edited it\n")
    running.put(comments, NUMBER, leg(2, State.COMPLETED), first.id, is_last=True)
    assert {name: one.state for name, one in told(server).items()} == {"leg 1": "completed", "leg 2": "completed"}


def test_a_row_that_never_stays_is_left_to_post(server: LocalGitHub) -> None:
    marker = Marker(key="sweep", run_id=7, run_attempt=1)
    comments = Comments(GitHub(server.url, server.token), REPOSITORY, marker)

    def overwritten(seconds: float) -> None:
        (comment,) = server.comments(REPOSITORY, NUMBER)
        comment.history.append(f"{marker}\nnothing\n")

    with pytest.raises(UnreachableError, match="kept overwriting"):
        LegWriter(marker, "sweep", None, overwritten).put(comments, NUMBER, leg(1), None, is_last=True)


def test_a_leg_needs_a_key_that_the_legs_have_in_common() -> None:
    with pytest.raises(InputsError, match="goes with `comment-key`"):
        Inputs.from_environ({**ENVIRON, "INPUT_LEG": "a", "INPUT_COMMENT-KEY": ""})
