"""Whose machine, variables and commands a step of the Action gets: its own, the inputs', or the pipeline's."""

from __future__ import annotations

import re

import pytest

from localcloud.lightning import LightningCloud
from localcloud.lightning.computer.environment import uv_cache
from scene import Actions, wait_for

HEAD = """
import os, shutil, time
from pathlib import Path
from zenml import pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings


def on(**settings):
    return {"orchestrator.lightning": LightningOrchestratorSettings(**settings)}

"""

CODE = (
    HEAD
    + """
def samples():
    kept = Path(os.environ["LIGHTNING_ZENML_USAGE"])
    return kept.read_text().count("\\n") if kept.exists() else 0


def tell():
    variables = [os.environ[name] for name in ("LIGHTNING_ZENML_MACHINE", "A", "B", "C")]
    print("SEES", *variables, flush=True)
    wanted = samples() + 3
    while samples() < wanted:
        time.sleep(0.05)


@step
def plain() -> None:
    tell()


@step(settings=on(machine_type="L4", environment={"B": "step"}))
def own() -> None:
    tell()


@pipeline(
    enable_cache=False, settings=on(machine_type="T4", environment={"A": "code", "B": "code"}, keep_studio="keep")
)
def both():
    plain()
    own()


if __name__ == "__main__":
    both()
"""
)


@pytest.mark.parametrize(
    ("submit_from", "machine_type", "plain"),
    [
        ("studio", "", "T4"),
        pytest.param("studio", "CPU", "CPU", marks=pytest.mark.slow),
        pytest.param("runner", "CPU", "CPU", marks=pytest.mark.slow),
    ],
)
def test_a_steps_own_wishes_win_over_the_inputs_and_these_over_the_pipelines(
    cloud: LightningCloud, actions: Actions, submit_from: str, machine_type: str, plain: str
) -> None:
    variables = {"UV_CACHE_DIR": str(uv_cache(cloud.knobs.cache_dir))}
    finished = actions.step(
        {"run.py": CODE},
        submit_from=submit_from,
        machine_type=machine_type,
        env="C=input\nA=input\nLIGHTNING_ZENML_USAGE_SECONDS=0.3",
        variables=variables,
    ).run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    seen = dict(re.findall(r"\[(plain|own)\] SEES (.*)", finished.log))
    # A variable of the studio's session is the code's business there, and the input's where it is a setting.
    a = "input" if submit_from == "runner" else "code"
    assert seen == {"plain": f"{plain} {a} code input", "own": f"L4 {a} step input"}
    assert ("have no effect: its studio is up already" in finished.log) is (submit_from == "studio")
    wait_for(lambda: not cloud.running())
    assert cloud.studio(finished.outputs["studio-name"]).deleted
    of_run = f"steps?pipeline_run_id={finished.outputs['run-id']}&hydrate=true"
    steps = actions.stack.zenml.request("GET", of_run)["items"]
    used = {step["name"]: step["metadata"]["run_metadata"]["lightning_usage"] for step in steps}
    assert {name: [gpu["name"] for gpu in usage["gpus"]] for name, usage in used.items()} == {
        "plain": [] if plain == "CPU" else [f"NVIDIA {plain}"],
        "own": ["NVIDIA L4"],
    }
    assert "What was used" in finished.summary
    assert all(usage["samples"] and 0 < usage["memory_peak"] < usage["memory"] for usage in used.values())


IDLE = (
    HEAD
    + """
@step(settings=on(machine_type="T4"))
def waits() -> None:
    Path(shutil.which("nvidia-smi")).parents[1].joinpath("gpu-use").write_text("0, 1")
    while True:
        try:
            time.sleep(600)
        except Exception:
            print("goes on")


@pipeline(enable_cache=False)
def idle():
    waits()


if __name__ == "__main__":
    idle()
"""
)


def test_a_job_whose_gpu_nobody_uses_fails_its_step_and_says_why(
    cloud: LightningCloud, actions: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud.knobs, "gpu_use", ("97, 6100",))
    finished = actions.step(
        {"run.py": IDLE},
        stop_idle_gpu="0.03",
        env="LIGHTNING_ZENML_USAGE_SECONDS=0.3",
        variables={"UV_CACHE_DIR": str(uv_cache(cloud.knobs.cache_dir))},
    ).run()
    assert finished.exit_code == 1
    assert "[waits] Warning: no GPU on T4 has done anything for 0.015 minutes" in finished.log
    assert "Step `waits` failed: Stopped: no GPU on T4 has done anything for 0.03 minutes" in finished.log
    wait_for(lambda: not cloud.running())
