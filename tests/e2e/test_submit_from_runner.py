"""`submit-from: runner`: compiled in a throw-away environment on the runner, run on Lightning AI."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from localcloud.lightning import LightningCloud
from localcloud.lightning.environment import uv_cache
from scene import TINY, Actions, Laptop, wait_for

PIPELINE = TINY.replace("ARGUMENT", "None").replace(
    "import sys\n",
    "import os, pathlib, sys\nimport iniconfig\n"
    "here = 'studio' if 'LIGHTNING_ZENML_LAUNCH_DIR' in os.environ else 'runner'\n",
)
FILES = {
    "requirements.txt": "iniconfig\n",
    "training/run.py": PIPELINE.replace(
        'print("loading")',
        "print('loading on the', here, 'with', os.environ['WORD'], pathlib.Path('/tmp/word').exists())",
    )
    + '    print("compiled on the", here, sorted(n for n in os.environ if "GITHUB_TOKEN" in n or "INPUT_" in n))\n',
}


@pytest.fixture
def variables(cloud: LightningCloud) -> dict[str, str]:
    """Where the packages are that all studios have."""
    return {"UV_CACHE_DIR": str(uv_cache(cloud.knobs.cache_dir))}


def test_a_run_is_compiled_on_the_runner_and_runs_in_the_studio(
    cloud: LightningCloud, actions: Actions, laptop: Laptop, variables: dict[str, str]
) -> None:
    step = actions.step(
        FILES,
        submit_from="runner",
        run="python run.py",
        working_directory="training",
        requirements="requirements.txt",
        commands="test -f requirements.txt && touch /tmp/word",
        env="WORD=well",
        variables=variables,
    )
    finished = step.run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert "compiled on the runner []" in finished.log
    assert "loading on the studio with well True" in finished.log
    outputs = finished.outputs
    assert outputs["status"] == "completed"
    assert len(outputs["archive-sha256"]) == 64
    run = laptop.last_run()
    assert (run["id"], run["status"]) == (outputs["run-id"], "completed")
    assert run["metadata"]["orchestrator_url"] == outputs["orchestrator-url"]
    assert run["metadata"]["github"]["sha"] == step.sha
    comment = actions.comment()
    assert "completed" in comment
    assert outputs["orchestrator-url"] in comment
    assert cloud.studio(outputs["studio-name"]).deleted
    for secret in (cloud.api_key, actions.stack.zenml_api_key):
        assert secret not in finished.log + run["config"] + run["snapshot"]
    assert not [path for path in step.workspace.rglob("*") if path.suffix == ".pyc" or path.name == ".zen"]
    assert list((step.root / "home").iterdir()) == []
