"""What comment and job summary tell of runs: metrics beside the base branch, graph, artifacts, logs."""

from __future__ import annotations

import html
import io
import json
import re
import zipfile
from dataclasses import replace

import pytest

from lightning_zenml.launch.payload.usage.records import Usage
from localcloud.github import GitHub
from localcloud.runner import Finished
from scene import BRANCH, REPOSITORY, Actions

MEASURED = """
import json
import os
import sys
from pathlib import Path
from typing import Annotated

from zenml import Model, get_step_context, log_metadata, pipeline, step
from zenml.enums import VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer
from zenml.types import CSVString, HTMLString, MarkdownString

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)


class Plot:
    pass


class PlotMaterializer(BaseMaterializer):
    ASSOCIATED_TYPES = (Plot,)

    def load(self, data_type):
        return Plot()

    def save(self, data):
        with self.artifact_store.open(os.path.join(self.uri, "plot.png"), "wb") as file:
            file.write(PNG)

    def save_visualizations(self, data):
        return {os.path.join(self.uri, "plot.png"): VisualizationType.IMAGE}


@step
def train() -> Annotated[float, "weights"]:
    print("epoch 1 of 1")
    for epoch in (1, 2, 3):
        # By what is logged again and again, and as a list.
        log_metadata({"loss": float(os.environ["LOSS"]) * (4 - epoch), "epoch": epoch, "seconds": 12.5})
    log_metadata({"val_auc": [0.5, 0.75, 0.6]})
    # As Lightning's CSVLogger does.
    Path("lightning_logs/version_0").mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{epoch},{10 * epoch},{1 / (epoch + 1)}\\n" for epoch in range(4))
    Path("lightning_logs/version_0/metrics.csv").write_text("epoch,step,valid_loss\\n" + rows)
    log_metadata({"layers": 1000}, infer_artifact=True)
    if os.environ.get("USED"):
        # As the sampler, which is off, does at the end of a step that has taken an hour.
        log_metadata({"lightning_usage": json.loads(os.environ["USED"])})
    if os.environ.get("FAIL"):
        raise ValueError("the loss is NaN")
    return 0.5


@step(output_materializers={"plot": PlotMaterializer})
def evaluate(weights: float, accuracy: float) -> tuple[
    Annotated[CSVString, "confusion"], Annotated[MarkdownString, "notes"], Annotated[Plot, "plot"],
    Annotated[HTMLString, "page"]
]:
    log_metadata({"accuracy": accuracy}, infer_model=True)
    run_id = str(get_step_context().pipeline_run.id)
    log_metadata({"score": {"total": 3}}, run_id_name_or_prefix=run_id)
    notes = MarkdownString("**Good** for @octo ![](https://elsewhere.example/pixel.png)")
    return CSVString("actual,cat,dog\\ncat,40,2\\n"), notes, Plot(), HTMLString("<b>all</b>")


@pipeline(enable_cache=False, model=Model(name="reported_model"))
def reported(accuracy: float):
    evaluate(train(), accuracy)


if __name__ == "__main__":
    reported(float(sys.argv[1]))
"""
REPORT = """
metrics: {score.total: lower}
exclude: ['*seconds']
baseline: last-2
fail-if: |
  accuracy < 0.75
  accuracy drops
  loss > base + 2 %
"""


def run(actions: Actions, *accuracies: str, branch: str | None = None, **variables: str) -> Finished:
    """The measured pipeline, once for each accuracy, on a pull request's event or on a push to a branch.

    A push has its pictures in an artifact of the workflow run, a pull request on a branch.
    """
    env = "\n".join(f"{name}={value}" for name, value in variables.items())
    command = " && ".join(f"python run.py {accuracy}" for accuracy in accuracies)
    shown = {"pictures": "artifact" if branch else "branch", "check_run": "true", "deployment": "true"}
    inputs = {"run": command, "env": env, "report": REPORT, **shown}
    step = actions.step({"run.py": MEASURED}, event_name="pull_request", studio_name="warm", **inputs)
    if branch:
        ref = f"refs/heads/{branch}"
        event = {"ref": ref, "after": step.sha, "repository": {"default_branch": "main"}}
        step = replace(step, event_name="push", ref=ref, event=event, sha=step.event["pull_request"]["head"]["sha"])
    return step.run()


def head_of(github: GitHub, actions: Actions) -> str:
    """The commit of the step made last."""
    (sha,) = [pull.head_sha for pull in github.pull_requests(REPOSITORY) if pull.number == actions.number]
    return sha


def rows(markdown: str) -> dict[str, list[str]]:
    """Cells of the table rows, by the first cell's text: metrics come before curves."""
    lines = [re.sub(r"</?code>", "", line) for line in markdown.splitlines() if line[:1] == "|"]
    plain = [[html.unescape(cell.strip()) for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in reversed(plain)}


def test_a_pull_request_shows_its_metrics_beside_the_base_branch(actions: Actions, github: GitHub) -> None:
    first = run(actions, "0.8", "0.81", branch="main", LOSS="0.5")
    assert first.exit_code == 0, first.log
    assert rows(first.summary)["accuracy"] == ["model reported_model", "0.8"]
    assert "No earlier completed run of this pipeline on <code>main</code>" in first.summary
    assert "❔ <code>accuracy drops</code>" in first.summary
    kept = f"\\[<code>([^<]*)</code>\\]\\(https://github.com/{REPOSITORY}/actions/runs/1658821493/artifacts/(\\d+)\\)"
    paths, numbers = zip(*re.findall(kept, first.summary), strict=True)
    (artifact,) = [one for one in github.results.artifacts if {str(one.id)} == set(numbers)]
    with zipfile.ZipFile(io.BytesIO(artifact.content or b"")) as archive:
        assert {path.partition("/")[2] for path in archive.namelist()} == {"plot/plot.png", "page/output.html"}
        assert set(map(html.unescape, paths)) == set(archive.namelist())
        assert len(paths) == 4
    assert github.results.runtime_token not in first.log + first.summary
    base = head_of(github, actions)
    github.add_branch(REPOSITORY, "main", base, "1" * 40, "2" * 40)

    used = Usage(since=0.0, until=3600.0, samples=720, cpus=4.0, cpu=10.0, memory=16e9, memory_peak=1.5e9)
    sampled = {"LIGHTNING_ZENML_USAGE_SECONDS": "0", "USED": json.dumps(used.to_json())}
    finished = run(actions, "0.72", LOSS="0.25", **sampled)
    assert (finished.exit_code, finished.outputs["status"]) == (1, "completed"), finished.log
    for markdown in (actions.comment(), finished.summary):
        assert "❌ <code>reported</code> completed on Lightning AI, but fails a rule" in markdown
        told = rows(markdown)
        assert told["❌ accuracy < 0.75"] == ["accuracy (model reported_model) is 0.72"]
        assert {"✅ accuracy drops", "✅ loss > base + 2 %"} <= set(told)
        assert told["score.total"] == ["run", "3", "3", "= no change"]
        assert told["accuracy"] == [
            *("model reported_model", "0.72", "0.805"),
            "↓ 0.085 (10.6 %) within noise (2 runs, ±1.1)",
        ]
        assert told["loss"] == ["step train", "0.25", "0.5", "↓ 0.25 (50.0 %) 🟢 better (2 runs, ±0)"]
        assert told["layers"] == ["artifact weights", "1,000", "1,000", "= no change"]
        assert not {"seconds", "storage_size"} & set(told)
        assert "| <code>loss</code> | step train | this run | ▄▂▁ | 0.25 | 0.25 at epoch 3 |" in markdown
        assert "| █▅▂ | 0.5 | 0.5 at epoch 3 |" in markdown
        assert '  title "val_auc"\n  x-axis "time" 1 --> 3\n' in markdown
        assert '  title "valid_loss"\n  x-axis "epoch" 0 --> 3\n' in markdown
        assert '  title "loss"\n  x-axis "epoch" 1 --> 3\n' in markdown
        assert "  line [1.5, 1, 0.5]\n  line [0.75, 0.5, 0.25]\n" in markdown
        assert (told["actual"], told["cat"]) == (["cat", "dog"], ["40", "2"])
        assert "<strong>Good</strong> for &#64;&#8203;octo <a href=" in markdown
        (address,) = re.findall(r"!\[plot\]\((.*)\?raw=true\)", markdown)
        assert address.startswith(f"https://github.com/{REPOSITORY}/blob/")
        *_, sha, name = address.split("/")
        assert (github.objects.file(sha, name) or b"").startswith(b"\x89PNG")
        assert [name for name in told if name in {"accuracy", "score.total", "layers"}][-1] == "score.total"
        assert "the last 2 completed runs on <code>main</code>" in markdown
        assert f"(<code>{base[:7]}</code>, less than an hour old, 2 commits behind)" in markdown
        assert "by the last" in told["**Estimated cost**"][0]
        advice = "The studio on CPU: peak 1.5 of 16 GB of memory, 10 % of 4 cores busy. A CPU_SMALL would do: about $"
        assert advice in html.unescape(markdown)
    assert float(finished.outputs["estimated-cost"]) > 0
    assert (
        "error",
        "`accuracy < 0.75` of `fail-if`: `accuracy` (model reported_model) is 0.72.",
    ) in finished.annotations
    (*_, status) = github.statuses(REPOSITORY, head_of(github, actions))
    assert (status.state, status.description) == ("failure", "accuracy < 0.75: accuracy (model reported_model) is 0.72")
    for on_main, sha in ((True, base), (False, head_of(github, actions))):
        (check_run,) = github.check_runs(REPOSITORY, sha)
        assert (check_run.name, check_run.conclusion) == ("Train/train", "success" if on_main else "failure")
        assert "<code>reported</code> completed on Lightning AI" in check_run.summaries[-1]
        (deployment,) = [one for one in github.deployments(REPOSITORY) if one.sha == sha]
        assert deployment.environment == f"{'main' if on_main else BRANCH}/Train/train"
        told = [status.state for status in deployment.statuses]
        assert (told[0], told[-1]) == ("in_progress", "success" if on_main else "failure")
        (status,) = {(one.environment_url, one.state) for one in deployment.statuses[-1:]}
        assert status[0] == (first if on_main else finished).outputs["orchestrator-url"]
    assert 's0["✅ train"]:::completed' in finished.summary
    assert "s0 --> s1\n" in finished.summary
    assert "  ✅ evaluate :done, " in finished.summary
    assert rows(finished.summary)["[weights]({})".format(finished.outputs["run-url"])][1] == "DataArtifact"


def test_a_failed_run_shows_what_its_step_printed_and_what_never_ran(actions: Actions, github: GitHub) -> None:
    finished = run(actions, "0.75", LOSS="0.25", FAIL="yes")
    assert finished.exit_code == 1
    for markdown in (actions.comment(), finished.summary):
        assert "<summary>Last log lines of <code>train</code></summary>" in markdown
        assert "epoch 1 of 1" in markdown
        assert rows(markdown)["train"][0] == "❌ failed"
        assert rows(markdown)["evaluate"][0] == "⏭️ skipped"
    (check_run,) = github.check_runs(REPOSITORY, head_of(github, actions))
    assert (check_run.conclusion, check_run.title) == ("failure", "Step `train` failed: ValueError: the loss is NaN")
    assert [(one["path"], MEASURED.splitlines()[one["start_line"] - 1].strip()) for one in check_run.annotations] == [
        ("run.py", 'raise ValueError("the loss is NaN")')
    ]
    assert 's0["❌ train"]:::failed' in finished.summary
    assert 's1["⏭️ evaluate"]:::waiting' in finished.summary


def test_a_report_that_makes_no_sense_starts_nothing(actions: Actions) -> None:
    finished = actions.step(report="metrics: {loss: down}\nfail-if: |\n  loss > 1\n  loss = 3").run()
    assert finished.exit_code == 1
    likes = "`accuracy < 0.9`, `val_loss > base + 2 %` or `f1 drops`"
    assert [text for level, text in finished.annotations if level == "error"] == [
        "`report` `metrics: loss: down` is not allowed: must be `higher`, `lower` or `neutral`",
        f"`report` `fail-if: loss = 3` can't be read: must be like {likes}",
    ]


MANY = """
import sys

from zenml import log_metadata, pipeline, step
from zenml.enums import ExecutionMode


@step
def measure(number: int, what: str) -> None:
    if what == "steps":
        raise ValueError(f"{number} of them fail")
    log_metadata({f"metric_{number}": number})


@pipeline(enable_cache=False, execution_mode=ExecutionMode.CONTINUE_ON_FAILURE)
def many(what: str):
    for number in range(12):
        measure(number, what)


if __name__ == "__main__":
    many(sys.argv[1])
"""


@pytest.mark.parametrize("what", ["steps", "rules"])
def test_of_many_things_that_fail_github_gets_as_many_annotations_as_it_shows(actions: Actions, what: str) -> None:
    rules = "\n".join(f"  metric_{number} < 100" for number in range(12))
    report = f"fail-if: |\n{rules}"
    finished = actions.step({"run.py": MANY}, run=f"python run.py {what}", report=report).run()
    assert finished.exit_code == 1, finished.log
    told = [text for level, text in finished.annotations if level == "error"]
    assert len(told) == 10
    if what == "rules":
        assert all(f"`metric_{number} < 100`" in " ".join(told) for number in range(12))


LEG = """
import sys

from zenml import log_metadata, pipeline, step


@step
def train(rate: float, factor: float) -> None:
    log_metadata({"accuracy": 1 - rate * factor})


@pipeline(enable_cache=False)
def legged(rate: float, factor: float):
    train(rate, factor)


if __name__ == "__main__":
    legged(*map(float, sys.argv[1:]))
"""


def test_a_leg_stands_beside_the_same_leg_of_the_base_branch(actions: Actions) -> None:
    def told(rate: str, factor: str, branch: str = "") -> str:
        inputs = {"run": f"python run.py {rate} {factor}", "comment_key": "rates", "leg": f"rate {rate}"}
        step = actions.step({"run.py": LEG}, event_name="pull_request", studio_name="warm", **inputs)
        if branch:
            ref, head = f"refs/heads/{branch}", step.event["pull_request"]["head"]["sha"]
            event = {"ref": ref, "after": head, "repository": {"default_branch": "main"}}
            step = replace(step, event_name="push", ref=ref, event=event, sha=head)
        finished = step.run()
        assert finished.exit_code == 0, finished.log
        return "" if branch else html.unescape(actions.comment())

    told("0.5", "1", branch="main")
    told("0.1", "1", branch="main")
    comment = told("0.1", "2")
    assert "| 0.8 🔴<br><sub>↓ 0.1 from 0.9</sub> |" in comment
    assert "how far that is from the last run on <code>main</code>" in comment
