"""What runs have made and what they are compared with, read from a real ZenML server."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from typing import Any

import boto3
import pytest

from lightning_zenml.action.github.client import GitHub
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report import RunReport, VisualizationReport
from lightning_zenml.action.report.metrics import ReportSettings
from lightning_zenml.action.report.metrics.baseline import Baseline
from lightning_zenml.action.report.metrics.logged import Logged
from lightning_zenml.action.report.runs import Runs
from lightning_zenml.action.report.visualizations.artifact import PicturesInArtifact
from lightning_zenml.action.report.visualizations.branch import PicturesOnBranch
from lightning_zenml.action.report.visualizations.pictures import Pictures
from lightning_zenml.launch.payload.records import JobRecord, RunRecord
from lightning_zenml.zenml_api.models import Run
from lightning_zenml.zenml_api.results import ZenMLResults
from lightning_zenml.zenml_api.server import ZenMLServer
from localcloud.chaos import Fault, chaos
from localcloud.github import GitHub as LocalGitHub
from localcloud.stack import Stack, client_environment, register_stack

SHA = "a" * 40
PROGRAM = """
import contextlib
import json
from typing import Annotated

from zenml import Model, add_tags, get_step_context, log_metadata, pipeline, step
from zenml.client import Client
from zenml.enums import VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer
from zenml.types import CSVString, HTMLString, JSONString, MarkdownString

from lightning_zenml.orchestrator.zenml_client.curves import keep_curves

# As our steps do.
keep_curves()


@step
def prepare() -> None:
    pass


@step
def load() -> Annotated[int, "rows"]:
    return 40


@step
def train(rows: int) -> Annotated[float, "weights"]:
    print("epoch 1 of 1")
    log_metadata({"layers": 3}, infer_artifact=True)
    for epoch in range(1, 4):
        log_metadata({"loss": 1 / epoch, "epoch": epoch, "seconds": {"forward": epoch}})
        log_metadata({"by_epoch": {str(epoch): epoch / 2}})
        log_metadata({"reward": 10 * epoch}, infer_model=True)
    return 0.5


@step
def evaluate(weights: float, accuracy: float) -> None:
    print("evaluating")
    log_metadata({"accuracy": accuracy}, infer_model=True)
    if accuracy < 0:
        raise ValueError("the accuracy is negative")


@pipeline(enable_cache=False, model=Model(name="digits"))
def measured(accuracy: float):
    prepare()
    evaluate(train(load(after="prepare")), accuracy)


class Plots:
    pass


class PlotsMaterializer(BaseMaterializer):
    ASSOCIATED_TYPES = (Plots,)

    def load(self, data_type):
        return Plots()

    def save(self, data):
        png = b"\\x89PNG\\r\\n\\x1a\\n...."
        for name, content in (("plot.png", png), ("large.png", bytes(2_000_000)), ("plot.svg", b"<svg/>")):
            with self.artifact_store.open(f"{self.uri}/{name}", "wb") as file:
                file.write(content)

    def save_visualizations(self, data):
        return {f"{self.uri}/{name}": VisualizationType.IMAGE for name in ("plot.png", "large.png", "plot.svg")}


@step(output_materializers={"plots": PlotsMaterializer})
def visualize() -> tuple[
    Annotated[CSVString, "table"],
    Annotated[MarkdownString, "notes"],
    Annotated[HTMLString, "page"],
    Annotated[JSONString, "scores"],
    Annotated[MarkdownString, "long"],
    Annotated[str, "private"],
    Annotated[MarkdownString, "left_out"],
    Annotated[Plots, "plots"],
]:
    table, notes = CSVString("class,f1\\ncat,0.9\\n"), MarkdownString("# Notes")
    long = MarkdownString("word " * 100_000)
    return table, notes, HTMLString("<b>page</b>"), JSONString("[1]"), long, "a customer's name", notes, Plots()


@pipeline(enable_cache=False)
def visualized():
    visualize()


visualized.with_options(run_name="visualized")()


@pipeline(enable_cache=False)
def another():
    load()


def note(run_name, ref, leg=""):
    # As our orchestrator does.
    run = Client().get_pipeline_run(run_name)
    add_tags(tags=["octo/model", "branch:main"], run=run.id)
    of_action = {"branch": "main", "comment_key": "", "run_id": 1, "run_attempt": 1, "pull_requests": []}
    origin = json.dumps({"sha": "a" * 40, "leg": leg, **of_action})
    github = {"repository": "octo/model", "ref": ref, "sha": "a" * 40, "pull_request": 7, "origin": origin}
    log_metadata({"github": github}, run_id_name_or_prefix=str(run.id))


for name, accuracy, ref, leg in (
    ("first", 0.8, "refs/heads/main", ""),
    ("second", 0.9, "refs/heads/main", ""),
    ("of_leg", 0.7, "refs/heads/main", "lr=1"),
    ("of_a_fork", 1.0, "refs/pull/7/merge", ""),
    ("failed", -1.0, "refs/heads/main", ""),
    ("failed_too", -2.0, "refs/heads/main", "lr=1"),
):
    with contextlib.suppress(ValueError, RuntimeError):
        measured.with_options(run_name=name)(accuracy)
    note(name, ref, leg)
another.with_options(run_name="another")()
another.with_options(run_name="plain")()
note("another", "refs/heads/main")
"""


@pytest.fixture(scope="module")
def ids(zenml_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Ids of the program's runs by name; they ran on ZenML's own local orchestrator and the S3 server."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "program.py").write_text(PROGRAM)
    zenml = zenml_stack.zenml
    components = {one["name"] + one["body"]["type"]: one["id"] for one in zenml.request("GET", "components")["items"]}
    stack = register_stack(zenml, "local", components["s3_storeartifact_store"], components["defaultorchestrator"])
    environment = client_environment(zenml_stack, ZENML_ACTIVE_STACK_ID=stack, ZENML_CONFIG_PATH=str(folder / "config"))
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {item["name"]: item["id"] for item in zenml.request("GET", "runs?size=50")["items"]}


@pytest.fixture
def server(zenml_stack: Stack) -> ZenMLServer:
    return ZenMLServer(zenml_stack.zenml_url, zenml_stack.zenml_api_key)


def test_graph_leads_from_step_to_step(server: ZenMLServer, ids: dict[str, str]) -> None:
    graph = ZenMLResults(server).graph(ids["first"])
    assert set(graph.steps) == {"prepare", "load", "train", "evaluate"}
    assert set(graph.edges) == {("prepare", "load"), ("load", "train"), ("train", "evaluate")}


def test_artifacts_and_models(server: ZenMLServer, ids: dict[str, str]) -> None:
    run = server.run(ids["first"])
    results = ZenMLResults(server)
    by_name = {artifact.name: artifact for artifact in results.artifacts(run)}
    assert set(by_name) == {"rows", "weights"}
    assert by_name["weights"].metadata["layers"] == 3
    assert by_name["weights"].type == "DataArtifact"
    assert by_name["weights"].uri.startswith("s3://")
    assert by_name["weights"].url == run.url
    (model,) = results.models(run, server.steps(run.id)).values()
    assert (model["accuracy"], model["reward"]) == (0.8, 30)


def visualizations(
    server: ZenMLServer,
    run_id: str,
    github: LocalGitHub | None = None,
    runtime: dict[str, str] | None = None,
) -> tuple[dict[str, list[VisualizationReport]], str]:
    """A run's visualizations by the artifact's name, as a report has them at its end, and the runner's log."""
    log = io.StringIO()
    workflow = Workflow({}, log)
    workflow.mask("cat")
    pictures: Pictures | None = None
    if github:
        pictures = PicturesOnBranch(GitHub(github.url, github.token, sleep=lambda _: None), event())
    elif runtime is not None:
        pictures = PicturesInArtifact(event(), "", runtime, workflow, sleep=lambda _: None)
    settings = ReportSettings(exclude=("left_*",))
    baseline = Baseline(server, event(), None, settings)
    runs = Runs(server, workflow, baseline=baseline, settings=settings, pictures=pictures)
    record = server.run(run_id)
    runs.add(RunRecord(run_id=run_id, run_name=record.name, pipeline="visualized", run_url="", orchestrator_url=""))
    runs.refresh(None, ended=True)
    (report,) = runs.reports
    found: dict[str, list[VisualizationReport]] = {}
    for one in report.visualizations:
        found.setdefault(one.artifact, []).append(one)
    return found, log.getvalue()


def test_visualizations_are_those_that_somebody_has_made(server: ZenMLServer, ids: dict[str, str]) -> None:
    found, _ = visualizations(server, ids["visualized"])
    assert list(found) == ["notes", "long", "plots", "table", "scores", "page"]
    (table,), (notes,), (scores,), (page,) = (found[name] for name in ("table", "notes", "scores", "page"))
    assert table.rows == (("class", "f1"), ("***", "0.9"))
    assert (notes.text, scores.text, page.is_shown) == ("# Notes", "[\n  1\n]", False)
    assert [one.lacks for one in found["long"]] == ["Some are too large to be shown here."]
    assert all("`pictures: branch`" in one.lacks for one in found["plots"])
    assert {one.url for several in found.values() for one in several} == {server.run(ids["visualized"]).url}


def test_pictures_come_onto_the_branch(server: ZenMLServer, ids: dict[str, str]) -> None:
    with LocalGitHub() as github:
        github.add_repository("octo/model")
        plot, large, svg = visualizations(server, ids["visualized"], github)[0]["plots"]
        *_, sha, name = (plot.picture or "").removesuffix("?raw=true").split("/")
        assert (github.objects.file(sha, name) or b"").startswith(b"\x89PNG")
        assert large.lacks == "Some are too large to be shown here."
        assert "PNG, JPEG, GIF or WebP" in svg.lacks
        github.grants_contents = False
        found, log = visualizations(server, ids["visualized"], github)
        assert "`contents: write`" in found["plots"][0].lacks
        assert "::warning title=No pictures" in log
        github.grants_contents = True
        github.fail("POST", "/git/", 502, times=100)
        found, log = visualizations(server, ids["visualized"], github)
        assert "the log says why" in found["plots"][0].lacks
        assert found["table"][0].is_shown


def test_pictures_and_pages_come_into_an_artifact(server: ZenMLServer, ids: dict[str, str]) -> None:
    with LocalGitHub() as github:
        runtime = {"ACTIONS_RESULTS_URL": github.results_url, "ACTIONS_RUNTIME_TOKEN": github.results.runtime_token}
        found, _ = visualizations(server, ids["visualized"], runtime=runtime)
        (artifact,) = github.results.artifacts
        assert artifact.name == "pictures-train"
        (page,), (plot, large, svg) = found["page"], found["plots"]
        address = f"https://github.com/octo/model/actions/runs/7/artifacts/{artifact.id}"
        assert (plot.zip_url, plot.zip_path) == (address, "visualized/plots/plot.png")
        assert (page.zip_url, page.zip_path) == (address, "visualized/page/output.html")
        assert {plot.is_shown, page.is_shown} == {False}
        with zipfile.ZipFile(io.BytesIO(artifact.content or b"")) as archive:
            assert archive.namelist() == [plot.zip_path, page.zip_path]
            assert archive.read(plot.zip_path).startswith(b"\x89PNG")
            assert archive.read(page.zip_path) == b"<b>page</b>"
        assert large.lacks == "Some are too large to be shown here."
        assert "PNG, JPEG, GIF or WebP" in svg.lacks

        github.results.is_full = True
        found, log = visualizations(server, ids["visualized"], runtime=runtime)
        assert "::warning title=No pictures::The storage" in log
        assert "the log says why" in found["plots"][0].lacks
        assert (found["page"][0].zip_url, found["table"][0].is_shown) == (None, True)


def test_without_the_runner_s_variables_there_are_links_and_one_warning(
    server: ZenMLServer, ids: dict[str, str]
) -> None:
    found, log = visualizations(server, ids["visualized"], runtime={})
    assert log.count("::warning") == 1
    assert "`pictures: branch`" in log
    assert {one.lacks for one in (*found["plots"], *found["page"])} == {"Pictures are only linked; the log says why."}
    assert found["table"][0].is_shown


@pytest.mark.parametrize(
    "wrong", [Fault.status(500), Fault.body("{}"), Fault.html(), Fault.cut_short(), Fault.reset()], ids=str
)
def test_what_zenml_can_t_tell_of_visualizations_is_left_out(
    zenml_stack: Stack, ids: dict[str, str], wrong: Fault
) -> None:
    with chaos(zenml_stack) as proxied:
        proxied.zenml.fault(wrong, route=".*/visualize")
        found, log = visualizations(ZenMLServer(proxied.zenml.url, zenml_stack.zenml_api_key), ids["visualized"])
    assert set(found) == {"notes", "long", "plots", "table", "scores", "page"}
    assert not any(one.is_shown for several in found.values() for one in several)
    assert "can't be had" in log


def test_what_is_logged_again_and_again_is_a_curve(server: ZenMLServer, ids: dict[str, str]) -> None:
    run = server.run(ids["first"])
    steps = server.steps(run.id)
    found = Logged.of(run, steps, [], ZenMLResults(server).models(run, steps), ReportSettings())
    assert {curve.key: (curve.axis, curve.points) for curve in found.curves} == {
        ("step", "train", "loss"): ("epoch", ((1, 1), (2, 1 / 2), (3, 1 / 3))),
        ("step", "train", "seconds.forward"): ("epoch", ((1, 1), (2, 2), (3, 3))),
        ("step", "train", "by_epoch"): ("", ((1, 0.5), (2, 1), (3, 1.5))),
        ("model", "digits", "reward"): ("", ((1, 10), (2, 20), (3, 30))),
    }


def test_what_a_branch_has_completed_is_its_own_of_the_same_pipeline(server: ZenMLServer, ids: dict[str, str]) -> None:
    results = ZenMLResults(server)

    def found(name: str, *, branch: str = "main", repository: str = "octo/model", **options: bool) -> list[str]:
        runs = results.completed(server.run(ids[name]), repository=repository, branch=branch, **options)
        return [run.name for run in runs]

    assert found("failed") == ["of_leg", "second", "first"]
    assert found("of_a_fork") == ["of_leg", "second", "first"]
    assert found("second", earlier=True) == ["first"]
    assert found("first", earlier=True) == []
    assert found("another") == []
    assert found("failed", repository="octo/other") == []
    assert found("failed", branch="develop") == []


def event(**changes: str) -> Event:
    variables = {
        "GITHUB_REPOSITORY": "octo/model",
        "GITHUB_REF": "refs/heads/better",
        "GITHUB_SHA": SHA,
        "GITHUB_RUN_ID": "7",
        "GITHUB_JOB": "train",
        "GITHUB_EVENT_PATH": "event",
        **changes,
    }
    return Event.from_environ(variables, read=lambda path: '{"repository": {"default_branch": "trunk"}}')


def base_of(
    run: Run, server: ZenMLServer, event: Event, github: GitHub | None = None, base: str | None = None
) -> object:
    found = Baseline(server, event, github, ReportSettings(base=base)).of(run)
    return found and (found.report.branch, found.report.run_name, found.report.commit_sha)


def test_the_base_branch_is_the_pull_request_s(server: ZenMLServer, ids: dict[str, str]) -> None:
    run = server.run(ids["failed"])
    with LocalGitHub() as hub:
        hub.add_pull_request("octo/model", 5, head_sha=SHA, head_ref="better", base_ref="main")
        github = GitHub(hub.url, hub.token)
        assert base_of(run, server, event(), github) == ("main", "second", SHA)
        assert base_of(run, server, event(GITHUB_SHA="b" * 40), github) == ("main", "second", SHA)
        assert base_of(server.run(ids["plain"]), server, event(GITHUB_SHA="b" * 40), github) == ("trunk", None, None)
        assert base_of(run, server, event(), GitHub(hub.url, "wrong")) == ("trunk", None, None)
    assert base_of(run, server, event()) == ("trunk", None, None)
    assert base_of(run, server, event(), base="main") == ("main", "second", SHA)
    assert base_of(server.run(ids["second"]), server, event(), base="main") == ("main", "first", SHA)
    nowhere = Event.from_environ({}, read=lambda path: "{}")
    assert base_of(run, server, nowhere) is None


def test_each_leg_of_a_matrix_has_runs_of_its_own_to_be_compared_with(server: ZenMLServer, ids: dict[str, str]) -> None:
    def names(name: str) -> object:
        return base_of(server.run(ids[name]), server, event(), base="main")

    assert names("failed_too") == ("main", "of_leg", SHA)
    assert names("failed") == ("main", "second", SHA)
    assert names("of_leg") == ("main", "second", SHA), "one of no leg, where there is none of the same"


def test_several_runs_are_compared_with_and_a_stale_one_says_so(server: ZenMLServer, ids: dict[str, str]) -> None:
    given = {"base": "main", "baseline": "median-5", "stale-days": 1, "stale-commits": 2}
    settings, problems = ReportSettings.from_yaml(given)
    assert not problems
    with LocalGitHub() as hub:
        github = GitHub(hub.url, hub.token)
        for commits, is_stale in ((None, False), (2, False), (3, True)):
            if commits is not None:
                hub.add_branch("octo/model", "main", SHA, *(str(number) * 40 for number in range(commits)))
            base = Baseline(server, event(), github, settings).of(server.run(ids["of_a_fork"]))
            assert base
            assert (base.report.commits, base.report.is_stale) == (commits, is_stale)
    assert (base.report.runs, base.report.wanted, base.report.centre) == (2, 5, "median")
    assert 0 < (base.report.age or 0) < 86_400
    assert [metric.values for run in base.logged for metric in run.metrics if metric.name == "accuracy"] == [
        (0.9,),
        (0.8,),
    ]
    settings, _ = ReportSettings.from_yaml({"base": "main", "stale-days": 0})
    base = Baseline(server, event(), None, settings).of(server.run(ids["of_a_fork"]))
    assert base
    assert (base.report.commits, base.report.is_stale) == (None, True)


def read(server: ZenMLServer, run_id: str, jobs: Sequence[JobRecord] = ()) -> RunReport:
    """What is told of a run that has ended, on a studio with a CPU."""
    settings = ReportSettings(base="main")
    baseline = Baseline(server, event(), None, settings)
    runs = Runs(server, Workflow({}, io.StringIO()), baseline=baseline, settings=settings)
    runs.add(RunRecord(run_id=run_id, run_name="r", pipeline="p", run_url="u", orchestrator_url=""))
    runs.set_jobs(jobs)
    runs.refresh("CPU", ended=True)
    (report,) = runs.reports
    return report


def test_a_failed_run_is_told_with_its_log(server: ZenMLServer, ids: dict[str, str]) -> None:
    report = read(server, ids["failed"])
    statuses = {step.name: step.status for step in report.steps}
    assert statuses == {"prepare": "completed", "load": "completed", "train": "completed", "evaluate": "failed"}
    (log,) = [step.log for step in report.steps if step.log]
    assert "evaluating" in log
    assert "Traceback" not in log
    told = {metric.name: (metric.source, metric.value, metric.base, metric.verdict) for metric in report.metrics}
    assert {curve.name for curve in report.curves} == {"loss", "seconds.forward", "by_epoch", "reward"}
    assert all(curve.base == curve.own for curve in report.curves)
    # `epoch` only counts.
    for of_curve in ("loss", "seconds.forward", "reward"):
        assert told.pop(of_curve)
    assert told == {
        "accuracy": ("model digits", -1.0, 0.9, "worse"),
        "layers": ("artifact weights", 3, 3, None),
    }
    assert {artifact.name for artifact in report.artifacts} == {"rows", "weights"}


def test_of_many_runs_one_after_the_other_each_is_asked_for_while_it_runs(
    server: ZenMLServer, zenml_stack: Stack, ids: dict[str, str]
) -> None:
    settings, looks = ReportSettings(base="main"), []
    with chaos(zenml_stack) as proxied, LocalGitHub() as hub:
        hub.add_repository("octo/model")
        zenml = ZenMLServer(proxied.zenml.url, zenml_stack.zenml_api_key)
        baseline = Baseline(zenml, event(), GitHub(hub.url, hub.token), settings)
        runs = Runs(zenml, Workflow({}, io.StringIO()), baseline=baseline, settings=settings)
        for name in ("first", "second", "failed"):
            runs.add(RunRecord(run_id=ids[name], run_name=name, pipeline="p", run_url="u", orchestrator_url=""))
            runs.refresh("CPU")
            before = proxied.calls.begun
            runs.refresh("CPU")
            looks.append(proxied.calls.begun - before)
        assert [report.status for report in runs.reports] == ["completed", "completed", "failed"]
        assert all(report.steps for report in runs.reports)
        assert (looks, runs.is_up_to_date, len(runs.steps)) == ([0, 0, 0], True, 3)
        runs.refresh("CPU", ended=True)
    assert any(step.log for step in runs.reports[-1].steps)


def test_without_the_log_the_traceback_is_told(server: ZenMLServer, zenml_stack: Stack, ids: dict[str, str]) -> None:
    (log_id,) = [step.log_id for step in server.steps(ids["failed_too"]) if step.status == "failed"]
    s3 = zenml_stack.s3
    keys = {"aws_access_key_id": s3.key, "aws_secret_access_key": s3.secret, "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=s3.url, **keys).delete_object(Bucket=s3.bucket, Key=f"logs/{log_id}.log")
    report = read(server, ids["failed_too"])
    (log,) = [step.log for step in report.steps if step.log]
    assert "evaluating" not in log
    assert log.endswith("ValueError: the accuracy is negative")


def test_steps_that_are_jobs_are_told_with_their_machines_and_costs(server: ZenMLServer, ids: dict[str, str]) -> None:
    def job(run_id: str, **changes: Any) -> JobRecord:
        # An hour from second 1,000 on.
        times = {"started": 1_000.0, "ended": 4_600.0}
        kind = {"machine": "A100", "num_machines": 1, "price": 2.5}
        return JobRecord(**{"token": "t", "attempt": 1, "run_id": run_id, "url": "u", **kind, **times, **changes})

    jobs = [
        job(ids["first"], step="train", machine="L4"),
        job(ids["first"], step="train", num_machines=2),
        job(ids["second"], step="load"),
        job(ids["first"], step="evaluate", price=None),
        job(ids["first"], step="prepare", started=None, ended=None),
    ]
    machines = {step.name: step.machine for step in read(server, ids["first"], jobs).steps}
    assert machines == {"prepare": "A100", "load": "CPU", "train": "2 x A100", "evaluate": "A100"}
    settings = ReportSettings()
    runs = Runs(
        server, Workflow({}, io.StringIO()), baseline=Baseline(server, event(), None, settings), settings=settings
    )
    runs.set_jobs(jobs)
    assert [job.cost for job in runs.jobs] == [2.5, 5.0, 2.5, None, 0.0]
