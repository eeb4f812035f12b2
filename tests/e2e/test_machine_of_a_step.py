"""Whose machine, variables and commands a step of the Action gets: its own, the inputs', or the pipeline's."""

from __future__ import annotations

import re

import pytest

from localcloud.lightning import LightningCloud
from localcloud.lightning.computer.environment import uv_cache
from scene import Actions, wait_for

CODE = """
import os
from zenml import pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings


def on(**settings):
    return {"orchestrator.lightning": LightningOrchestratorSettings(**settings)}


def tell():
    variables = [os.environ[name] for name in ("LIGHTNING_ZENML_MACHINE", "A", "B", "C")]
    print("SEES", *variables, flush=True)


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
        env="C=input\nA=input",
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
