"""What comment and job summary tell of runs: metrics beside the base branch, graph, artifacts, logs."""

from __future__ import annotations

from dataclasses import replace

from localcloud.runner import Finished
from scene import Actions

MEASURED = """
import os
from typing import Annotated

from zenml import Model, get_step_context, log_metadata, pipeline, step


@step
def train() -> Annotated[float, "weights"]:
    print("epoch 1 of 1")
    log_metadata({"loss": float(os.environ["LOSS"]), "seconds": 12.5})
    log_metadata({"layers": 1000}, infer_artifact=True)
    if os.environ.get("FAIL"):
        raise ValueError("the loss is NaN")
    return 0.5


@step
def evaluate(weights: float) -> None:
    log_metadata({"accuracy": float(os.environ["ACCURACY"])}, infer_model=True)
    run_id = str(get_step_context().pipeline_run.id)
    log_metadata({"score": {"total": 3}}, run_id_name_or_prefix=run_id)


@pipeline(enable_cache=False, model=Model(name="reported_model"))
def reported():
    evaluate(train())


if __name__ == "__main__":
    reported()
"""
REPORT = "metrics: {score.total: lower}\nexclude: ['*seconds']"


def run(actions: Actions, *, branch: str | None = None, **variables: str) -> Finished:
    """The measured pipeline on a pull request's event, or on a push to a branch."""
    env = "\n".join(f"{name}={value}" for name, value in variables.items())
    step = actions.step({"run.py": MEASURED}, event_name="pull_request", studio_name="warm", env=env, report=REPORT)
    if branch:
        ref = f"refs/heads/{branch}"
        event = {"ref": ref, "after": step.sha, "repository": {"default_branch": "main"}}
        step = replace(step, event_name="push", ref=ref, event=event, sha=step.event["pull_request"]["head"]["sha"])
    return step.run()


def rows(markdown: str) -> dict[str, list[str]]:
    """Cells of the table rows, by the first cell's text."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"]
    plain = [[cell.replace("&#95;", "_").replace("<code>", "").replace("</code>", "") for cell in row] for row in cells]
    return {row[0]: row[1:] for row in plain}


def test_a_pull_request_shows_its_metrics_beside_the_base_branch(actions: Actions) -> None:
    first = run(actions, branch="main", LOSS="0.5", ACCURACY="0.8")
    assert first.exit_code == 0, first.log
    assert rows(first.summary)["accuracy"] == ["model reported_model", "0.8"]
    assert "No earlier completed run of this pipeline on <code>main</code>" in first.summary

    finished = run(actions, LOSS="0.25", ACCURACY="0.72")
    assert finished.exit_code == 0, finished.log
    for markdown in (actions.comment(), finished.summary):
        told = rows(markdown)
        assert told["score.total"] == ["run", "3", "3", "= no change"]
        assert told["accuracy"] == ["model reported_model", "0.72", "0.8", "↓ 0.08 (10.0 %) 🔴 worse"]
        assert told["loss"] == ["step train", "0.25", "0.5", "↓ 0.25 (50.0 %) 🟢 better"]
        assert told["layers"] == ["artifact weights", "1,000", "1,000", "= no change"]
        assert not {"seconds", "storage_size"} & set(told)
        assert next(name for name in told if name in {"accuracy", "score.total", "layers"}) == "score.total"
        assert f"]({first.outputs['run-url']})" in markdown
    assert 's0["✅ train"]:::completed' in finished.summary
    assert "s0 --> s1\n" in finished.summary
    assert "  ✅ evaluate :done, " in finished.summary
    assert rows(finished.summary)["[weights]({})".format(finished.outputs["run-url"])][1] == "DataArtifact"


def test_a_failed_run_shows_what_its_step_printed_and_what_never_ran(actions: Actions) -> None:
    finished = run(actions, LOSS="0.25", ACCURACY="0.75", FAIL="yes")
    assert finished.exit_code == 1
    for markdown in (actions.comment(), finished.summary):
        assert "<summary>Last log lines of <code>train</code></summary>" in markdown
        assert "epoch 1 of 1" in markdown
        assert rows(markdown)["train"][0] == "❌ failed"
        assert rows(markdown)["evaluate"][0] == "⏭️ skipped"
    assert 's0["❌ train"]:::failed' in finished.summary
    assert 's1["⏭️ evaluate"]:::waiting' in finished.summary


def test_a_report_that_makes_no_sense_starts_nothing(actions: Actions) -> None:
    finished = actions.step(report="metrics: {loss: down}").run()
    assert finished.exit_code == 1
    (message,) = [text for level, text in finished.annotations if level == "error"]
    assert message == "`report` `metrics: loss: down` is not allowed: must be `higher`, `lower` or `neutral`"
