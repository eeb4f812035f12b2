"""Check runs and deployments on GitHub's stand-in: begun, ended by whoever ends the run, and nobody else's."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import requests

from lightning_zenml.action.github.check_runs import OUTPUT_LIMIT, Annotation
from lightning_zenml.action.github.client import GitHub
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover, Left
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.report import Outcome, RuleReport, RunReport, State
from lightning_zenml.action.report.reporter import Reporter
from lightning_zenml.codes import Code
from lightning_zenml.launch.spec import Failure, Phase
from localcloud.chaos import Fault, Proxy
from localcloud.github import GitHub as LocalGitHub
from localcloud.schemas.objects import CheckRun, Deployment

REPOSITORY, HEAD = "octo/repo", "a" * 40
ENVIRON = {
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_REPOSITORY": REPOSITORY,
    "GITHUB_REF": "refs/heads/better",
    "GITHUB_SHA": HEAD,
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_WORKFLOW": "Train",
    "GITHUB_JOB": "train",
    "GITHUB_SERVER_URL": "https://github.com",
    "INPUT_RUN": "python run.py",
    "INPUT_CHECK-RUN": "true",
    "INPUT_DEPLOYMENT": "true",
    "INPUT_LIGHTNING-API-KEY": "key",
    "INPUT_ZENML-STORE-URL": "https://zenml.example",
    "INPUT_ZENML-STORE-API-KEY": "key",
}
STUDIO = "https://lightning.ai/o/t/studios/warm"
IN_ZENML = "https://zenml.example/runs/1"
RUN = RunReport(run_name="tiny-1", pipeline="tiny", run_url=IN_ZENML, orchestrator_url=STUDIO)


def failure(code: Code = Code.STEP) -> Failure:
    return Failure(phase=Phase.RUNNING, message="Step `train` failed: ValueError: NaN", output="Traceback", code=code)


@dataclass
class Clock:
    seconds: float = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Step:
    """A step of a workflow, on whose files a reporter of main and one of post work."""

    server: LocalGitHub
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    log: io.StringIO = field(default_factory=io.StringIO)
    clock: Clock = field(default_factory=Clock)
    url: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.environ = {**ENVIRON, **self.environ}
        self.event = Event.from_environ(self.environ)
        self.origin = Origin.of(self.event, Inputs.from_environ(self.environ))
        self.workflow = Workflow({"GITHUB_STATE": str(self.folder / "state")}, self.log)

    @property
    def github(self) -> GitHub:
        return GitHub(self.url or self.server.url, self.server.token, sleep=lambda seconds: None)

    def main(self) -> Reporter:
        return Reporter(
            self.workflow,
            Handover(self.workflow),
            self.github,
            self.event,
            self.origin,
            comments=False,
            clock=self.clock,
        )

    @property
    def left(self) -> Left:
        found = re.findall(r"^(\w+)<<(\S+)\n(.*?)\n\2$", (self.folder / "state").read_text(), re.M | re.S)
        return Left.from_environ({f"STATE_{name}": value for name, _, value in found})

    def post(self, state: State) -> None:
        """What post does once main has been killed."""
        saved = self.left.report
        assert saved is not None
        github = GitHub(self.server.url, self.server.token, sleep=lambda seconds: None)
        reporter = Reporter.resumed(self.workflow, Handover(self.workflow), github, self.event, saved, comments=False)
        reporter.report = replace(reporter.report, state=state)
        reporter.update(at_once=True)

    def warnings(self) -> list[str]:
        return re.findall(r"^::warning (.*)$", self.log.getvalue(), re.M)

    def check_runs(self) -> list[CheckRun]:
        return [one for one in self.server.check_runs(REPOSITORY, HEAD) if one.name == self.origin.context]

    def deployments(self) -> list[Deployment]:
        return self.server.deployments(REPOSITORY, self.origin.environment)


def tell(reporter: Reporter, **changes: object) -> None:
    """An update, and what comes of it in the other thread."""
    reporter.update(**changes)  # type: ignore[arg-type]
    assert reporter.settle(300)


def states(deployment: Deployment) -> list[str]:
    return [status.state for status in deployment.statuses]


@pytest.fixture
def server() -> Iterator[LocalGitHub]:
    with LocalGitHub() as server:
        server.add_repository(REPOSITORY)
        yield server
        assert server.refused == []


@pytest.fixture
def step(server: LocalGitHub, tmp_path: Path) -> Step:
    return Step(server, tmp_path / "step")


MakeStep = Callable[..., Step]


@pytest.fixture
def another(server: LocalGitHub, tmp_path: Path) -> MakeStep:
    return lambda name, **environ: Step(
        server, tmp_path / name, {variable.replace("_DASH_", "-"): value for variable, value in environ.items()}
    )


def test_a_run_from_its_beginning_to_its_end(step: Step) -> None:
    reporter = step.main()
    tell(reporter, state=State.STARTING, pipeline="python run.py")
    (check_run,), (deployment,) = step.check_runs(), step.deployments()
    assert (check_run.status, check_run.conclusion, check_run.external_id) == ("in_progress", None, "7/1")
    assert check_run.details_url == "https://github.com/octo/repo/actions/runs/7"
    assert check_run.title == "python run.py is starting on Lightning AI"
    assert (deployment.environment, deployment.sha, deployment.is_transient, deployment.is_production) == (
        *("better/Train/train", HEAD),
        *(True, False),
    )
    tell(reporter, state=State.RUNNING, runs=(RUN,))
    assert (check_run.status, check_run.details_url) == ("in_progress", STUDIO)
    tell(reporter, state=State.COMPLETED, studio_deleted=True)
    assert (check_run.status, check_run.conclusion, check_run.details_url) == ("completed", "success", IN_ZENML)
    assert check_run.title == "tiny completed on Lightning AI"
    assert "**✅ <code>tiny</code> completed on Lightning AI**" in check_run.summaries[-1]
    assert check_run.annotations == []
    assert states(deployment) == ["in_progress", "in_progress", "success"]
    assert [status.environment_url for status in deployment.statuses] == ["", STUDIO, IN_ZENML]
    assert {status.log_url for status in deployment.statuses} == {"https://github.com/octo/repo/actions/runs/7"}
    assert (len(step.check_runs()), len(step.deployments()), step.warnings()) == (1, 1, [])


def test_neither_is_there_unasked_for(another: MakeStep, server: LocalGitHub) -> None:
    plain = another("plain", INPUT_CHECK_DASH_RUN="", INPUT_DEPLOYMENT="false")
    tell(plain.main(), state=State.COMPLETED)
    assert (server.check_runs(REPOSITORY, HEAD), server.deployments(REPOSITORY)) == ([], [])
    assert [request.path for request in server.requests if "statuses" not in request.path] == []


@pytest.mark.parametrize(
    ("changes", "conclusion", "deployed"),
    [
        ({"state": State.COMPLETED, "runs": (RUN,)}, "success", "success"),
        ({"state": State.COMPLETED}, "neutral", "success"),
        ({"state": State.FAILED, "failure": failure()}, "failure", "failure"),
        ({"state": State.FAILED, "failure": failure(Code.TIMEOUT)}, "timed_out", "failure"),
        ({"state": State.STOPPED, "failure": failure(Code.TIMEOUT)}, "timed_out", "error"),
        ({"state": State.STOPPED, "failure": failure(Code.COST)}, "cancelled", "error"),
        ({"state": State.CANCELLED}, "cancelled", "inactive"),
        ({"state": State.PAUSED, "runs": (RUN,)}, "action_required", "pending"),
        (
            {
                "state": State.COMPLETED,
                "runs": (RUN,),
                "rules": (RuleReport(rule="f1 drops", outcome=Outcome.FAILED, reason="`f1` is 0.5"),),
            },
            "failure",
            "failure",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_end_has_its_conclusion(step: Step, changes: dict[str, object], conclusion: str, deployed: str) -> None:
    reporter = step.main()
    tell(reporter, state=State.RUNNING)
    tell(reporter, **changes)
    (check_run,), (deployment,) = step.check_runs(), step.deployments()
    assert (check_run.conclusion, deployment.statuses[-1].state) == (conclusion, deployed)


def test_an_async_run_is_ended_by_the_workflow_that_attaches_though_it_asks_for_neither(
    step: Step, another: MakeStep
) -> None:
    reporter = step.main()
    tell(reporter, state=State.RUNNING)
    tell(reporter, at_once=True, state=State.RUNNING, is_async=True, runs=(RUN,))
    (check_run,), (deployment,) = step.check_runs(), step.deployments()
    assert (check_run.status, states(deployment)[-1]) == ("in_progress", "in_progress")
    assert "doesn't wait for the end" in check_run.summaries[-1]

    follow = another(
        "follow", GITHUB_RUN_ID="99", GITHUB_WORKFLOW="Follow", INPUT_CHECK_DASH_RUN="", INPUT_DEPLOYMENT=""
    )
    # As it comes back from the run's metadata in ZenML.
    origin = Origin.from_json(step.origin.as_json())
    attached = Reporter(
        follow.workflow,
        Handover(follow.workflow),
        follow.github,
        follow.event,
        None,
        comments=False,
        clock=follow.clock,
    )
    attached.set_origin(origin)
    tell(attached, state=State.RUNNING, runs=(RUN,))
    tell(attached, state=State.COMPLETED)
    assert (check_run.conclusion, states(deployment)[-1]) == ("success", "success")
    assert (len(step.check_runs()), len(step.deployments())) == (1, 1)


def test_a_run_that_was_paused_has_a_check_run_of_its_own_when_it_goes_on(step: Step) -> None:
    tell(step.main(), state=State.PAUSED, runs=(RUN,))
    tell(step.main(), state=State.RUNNING, runs=(RUN,))
    assert [one.status for one in step.check_runs()] == ["completed", "in_progress"]
    assert [states(one) for one in step.deployments()] == [["pending", "in_progress"]]


def test_post_ends_what_a_killed_main_has_begun(step: Step) -> None:
    tell(step.main(), state=State.RUNNING)
    step.post(State.CANCELLED)
    (check_run,), (deployment,) = step.check_runs(), step.deployments()
    assert (check_run.conclusion, states(deployment)) == ("cancelled", ["in_progress", "inactive"])
    assert step.left.is_reported


ANNOTATION = Annotation(path="run.py", line=3, title="The run failed", message="ValueError: NaN", details="Traceback")


@pytest.mark.parametrize("number", [1, 50, 120])
def test_annotations_go_fifty_at_a_time_and_once(step: Step, number: int) -> None:
    reporter = step.main()
    several = tuple(replace(ANNOTATION, line=line) for line in range(1, number + 1))
    step.server.lose_answers("PATCH", "/check-runs/", times=1)
    for _ in range(2):
        tell(reporter, state=State.FAILED, failure=failure(), annotations=several, runs=(RUN,))
    (check_run,) = step.check_runs()
    assert [one["start_line"] for one in check_run.annotations] == list(range(1, number + 1))
    assert check_run.annotations[0]["path"] == "run.py"
    assert check_run.conclusion == "failure"


def test_an_annotation_that_github_refuses_leaves_the_end_as_it_is(step: Step) -> None:
    wrong = replace(ANNOTATION, path="/etc/passwd")
    tell(step.main(), state=State.FAILED, failure=failure(), annotations=(wrong,), runs=(RUN,))
    (check_run,) = step.check_runs()
    assert (check_run.conclusion, check_run.annotations, step.left.is_reported) == ("failure", [], True)
    assert "lacks annotations" in step.log.getvalue()


def test_the_report_fits_in_bytes(step: Step) -> None:
    runs = tuple(replace(RUN, run_name=f"läuft-{number}" * 8, run_url=f"{IN_ZENML}?{number}") for number in range(900))
    tell(step.main(), state=State.FAILED, failure=replace(failure(), output="é✅" * 9_000), runs=runs)
    (check_run,) = step.check_runs()
    assert check_run.conclusion == "failure"
    assert len(check_run.summaries[-1].encode()) <= OUTPUT_LIMIT
    assert "ValueError" in check_run.summaries[-1]
    assert step.warnings() == []


def test_what_github_finds_wrong_with_the_report_keeps_no_check_open(step: Step) -> None:
    reporter = step.main()
    tell(reporter, state=State.RUNNING)
    step.server.fail("PATCH", "/check-runs/", 422, message="summary is not what we like")
    tell(reporter, state=State.COMPLETED, runs=(RUN,))
    (check_run,) = step.check_runs()
    assert (check_run.conclusion, check_run.summaries[-1]) == ("success", "completed")


def test_it_is_seldom_changed(step: Step) -> None:
    def changes(seconds: int) -> int:
        (check_run,) = step.check_runs()
        before = len(check_run.summaries)
        for _ in range(seconds // 10):
            step.clock.seconds += 10
            tell(reporter)
        return len(check_run.summaries) - before

    reporter = step.main()
    tell(reporter, state=State.RUNNING)
    assert changes(290) == 0
    assert changes(3_600) <= 12


def test_without_the_permission_one_line_each_says_how_to_turn_it_on(step: Step) -> None:
    step.server.grants_checks = step.server.grants_deployments = False
    reporter = step.main()
    for state in (State.STARTING, State.RUNNING, State.COMPLETED):
        tell(reporter, state=state)
    no_check, no_deployment = step.warnings()
    assert "No check run" in no_check
    assert "`checks: write`" in no_check
    assert "No deployment" in no_deployment
    assert "`deployments: write`" in no_deployment
    assert step.left.is_reported
    assert [status.state for status in step.server.statuses(REPOSITORY, HEAD)] == ["pending", "success"]
    # Three times each, as one refusal decides nothing.
    assert sum("check-runs" in request.path for request in step.server.requests) == 3


@pytest.mark.parametrize(("method", "place"), [("POST", "/check-runs$"), ("POST", "/deployments$")])
def test_a_creation_whose_answer_is_lost_is_not_repeated(step: Step, method: str, place: str) -> None:
    step.server.lose_answers(method, place)
    reporter = step.main()
    tell(reporter, state=State.RUNNING)
    tell(reporter, state=State.COMPLETED, runs=(RUN,))
    (check_run,), (deployment,) = step.check_runs(), step.deployments()
    assert (check_run.conclusion, states(deployment)[-1]) == ("success", "success")


FAULTS = {
    "mute": Fault.hang(60),
    "a page for people": Fault.html(),
    "without id": Fault.without("id"),
    "other types": Fault.wrong_types(),
    "nothing": Fault.body("null"),
    "cut": Fault.cut_short(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_whatever_github_answers_post_ends_what_is_there(server: LocalGitHub, tmp_path: Path, fault: Fault) -> None:
    with Proxy("github", server.url, addresses={}) as proxy:
        step = Step(server, tmp_path / "step", url=proxy.url)
        reporter = step.main()
        tell(reporter, state=State.RUNNING)
        proxy.fault(fault)
        reporter.update(state=State.COMPLETED, patience=3)
        left = step.left
        assert left.report is not None
        assert left.report.check_run is not None
        assert not left.is_reported
        assert "fault of this action" not in step.log.getvalue()
        step.post(State.COMPLETED)
    (check_run,), (deployment,) = step.check_runs(), step.deployments()
    assert (check_run.status, states(deployment)[-1]) == ("completed", "success")


@pytest.mark.parametrize("status", [403, 404, 422])
def test_a_refusal_on_the_way_keeps_neither_from_its_end(step: Step, status: int) -> None:
    reporter = step.main()
    tell(reporter, state=State.STARTING)
    # All that one request is asked again.
    times = 1 if status == 422 else 3
    step.server.fail("PATCH", "/check-runs/", status, times=times)
    step.server.fail("POST", "/deployments/", status, times=times)
    tell(reporter, state=State.RUNNING, runs=(RUN,))
    tell(reporter, state=State.COMPLETED)
    (*_, check_run), (deployment,) = step.check_runs(), step.deployments()
    assert (check_run.conclusion, states(deployment)[-1]) == ("success", "success")
    assert [one for one in step.check_runs() if one.status != "completed"] == []


def test_legs_and_other_workflows_have_their_own(another: MakeStep, server: LocalGitHub) -> None:
    legs = [
        another("a", INPUT_COMMENT_DASH_KEY="sweep", INPUT_LEG="lr=0.1, T4"),
        another("b", INPUT_COMMENT_DASH_KEY="sweep", INPUT_LEG="lr=1, T4"),
        another("c", GITHUB_WORKFLOW="Test", GITHUB_RUN_ID="8"),
    ]
    reporters = [leg.main() for leg in legs]
    for reporter in reporters:
        tell(reporter, state=State.RUNNING, runs=(RUN,))
    tell(reporters[0], state=State.FAILED, failure=failure())
    conclusions = {one.name: one.conclusion for one in server.check_runs(REPOSITORY, HEAD)}
    assert conclusions == {"sweep (lr=0.1, T4)": "failure", "sweep (lr=1, T4)": None, "Test/train": None}
    ends = {one.environment: states(one)[-1] for one in server.deployments(REPOSITORY)}
    assert ends == {
        "better/sweep (lr=0.1 T4)": "failure",
        "better/sweep (lr=1 T4)": "in_progress",
        "better/Test/train": "in_progress",
    }


def test_earlier_deployments_of_the_branch_end_with_the_newer_one_and_nobody_elses(
    another: MakeStep, server: LocalGitHub
) -> None:
    older, newer = another("older"), another("newer", GITHUB_RUN_ID="8")
    environment = older.origin.environment
    of_a_person = server.add_deployment(REPOSITORY, HEAD, environment)
    in_main = another("main", GITHUB_REF="refs/heads/main", GITHUB_RUN_ID="6")
    tell(in_main.main(), state=State.COMPLETED, runs=(RUN,))
    tell(older.main(), state=State.COMPLETED, runs=(RUN,))
    tell(newer.main(), state=State.COMPLETED, runs=(RUN,))
    _, first, second = server.deployments(REPOSITORY, environment)
    assert (states(first), states(second)) == (["success", "inactive"], ["success"])
    assert of_a_person.statuses == []
    assert [states(one) for one in in_main.deployments()] == [["success"]]


def test_a_run_that_ends_after_a_newer_one_is_inactive_then(another: MakeStep) -> None:
    older, newer = another("older"), another("newer", GITHUB_RUN_ID="8")
    late = older.main()
    tell(late, state=State.RUNNING, runs=(RUN,))
    tell(newer.main(), state=State.COMPLETED, runs=(RUN,))
    tell(late, state=State.FAILED, failure=failure())
    first, second = older.deployments()
    assert states(first) == ["in_progress", "inactive", "failure", "inactive"]
    assert states(second) == ["success"]


def test_many_earlier_ones_cost_few_requests(another: MakeStep, server: LocalGitHub) -> None:
    for number in range(8, 15):
        tell(another(str(number), GITHUB_RUN_ID=str(number)).main(), state=State.COMPLETED, runs=(RUN,))
    before = len(server.requests)
    tell(another("last", GITHUB_RUN_ID="99").main(), state=State.COMPLETED, runs=(RUN,))
    assert len([one for one in server.requests[before:] if "deployments" in one.path]) <= 12
    active = [one for one in server.deployments(REPOSITORY) if states(one)[-1] != "inactive"]
    assert len(active) == 1


def test_no_secret_is_in_either(step: Step) -> None:
    step.workflow.mask("hunter2hunter2")
    leak = replace(failure(), message="hunter2hunter2 is wrong", output="key=hunter2hunter2")
    annotation = replace(ANNOTATION, message="hunter2hunter2", details="hunter2hunter2")
    tell(step.main(), state=State.FAILED, failure=leak, annotations=(annotation,), runs=(RUN,))
    (check_run,), (deployment,) = step.check_runs(), step.deployments()
    assert "hunter2" not in f"{check_run} {deployment}"
    assert check_run.annotations[0]["message"] == "***"


def status_of(server: LocalGitHub, method: str, path: str, body: dict[str, object]) -> int:
    headers = {"Authorization": f"Bearer {server.token}"}
    url = f"{server.url}/repos/{REPOSITORY}/{path}"
    return requests.request(method, url, json=body, headers=headers, timeout=60).status_code


class TestStandIn:
    """What the reporter never asks for, but the stand-in must refuse as GitHub does."""

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("check-runs", {"name": "x"}, 422),
            ("check-runs", {"name": "x", "head_sha": "nope"}, 422),
            ("check-runs", {"name": "x", "head_sha": HEAD, "status": "completed"}, 422),
            ("check-runs", {"name": "x", "head_sha": HEAD, "conclusion": "great"}, 422),
            ("check-runs", {"name": "x", "head_sha": HEAD, "conclusion": "stale"}, 422),
            ("check-runs", {"name": "x", "head_sha": HEAD, "details_url": "ftp://x"}, 422),
            ("check-runs", {"name": "x", "head_sha": HEAD, "output": {"title": "x"}}, 422),
            ("check-runs", {"name": "x", "head_sha": HEAD, "output": {"title": "x", "summary": "é" * 40_000}}, 422),
            ("deployments", {}, 422),
            ("deployments", {"ref": "no-such-branch"}, 422),
            ("deployments", {"ref": HEAD, "environment": "a,b"}, 422),
            ("deployments", {"ref": HEAD, "environment": "x" * 256}, 422),
            ("deployments", {"ref": HEAD, "required_contexts": ["CI"]}, 409),
            ("deployments/1/statuses", {"state": "great"}, 422),
            ("deployments/1/statuses", {"state": "success", "environment_url": "studio"}, 422),
            ("deployments/1/statuses", {"state": "success", "description": "x" * 141}, 422),
            ("deployments/9/statuses", {"state": "success"}, 404),
        ],
    )
    def test_what_is_wrong_is_refused(
        self, server: LocalGitHub, path: str, body: dict[str, object], status: int
    ) -> None:
        server.add_deployment(REPOSITORY, HEAD, "somewhere")
        assert status_of(server, "POST", path, body) == status

    def test_too_many_annotations_and_a_check_run_that_is_not_there(self, server: LocalGitHub) -> None:
        check_run = server.add_check_run(REPOSITORY, HEAD, "x")
        one = {"path": "a", "start_line": 1, "end_line": 1, "annotation_level": "failure", "message": "m"}
        output = {"title": "t", "summary": "s", "annotations": [one] * 51}
        assert status_of(server, "PATCH", f"check-runs/{check_run.id}", {"output": output}) == 422
        assert status_of(server, "PATCH", "check-runs/99", {"status": "in_progress"}) == 404
