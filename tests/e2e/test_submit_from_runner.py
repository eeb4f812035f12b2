"""`submit-from: runner`: compiled in a throw-away environment on the runner, run on Lightning AI."""

from __future__ import annotations

import os
import re
import signal
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from localcloud.lightning import LightningCloud
from localcloud.lightning.computer.environment import uv_cache
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
        "print('loading on the', here, 'in', pathlib.Path.cwd().name, "
        "'with', os.environ['WORD'], pathlib.Path('/tmp/word').exists())",
    )
    + '    seen = [name for name in os.environ if name.startswith(("INPUT", "GITHUB", "PIP", "UV"))]\n'
    # And in what any process of the user may read of those above it.
    + "    above = [os.getppid()]\n"
    + "    above += [int(pathlib.Path(f'/proc/{above[0]}/stat').read_text().rpartition(')')[2].split()[1])]\n"
    + "    texts = [pathlib.Path(f'/proc/{pid}/environ').read_text() for pid in above]\n"
    + "    seen += [one for text in texts for one in text.split('\\0') if one.startswith(('INPUT', 'GITHUB'))]\n"
    + '    print("compiled on the", here, seen)\n',
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
        variables={**variables, "RUNNER_DEBUG": "1"},
    )
    finished = step.run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert "compiled on the runner []" in finished.log
    assert re.search(r"^Lightning POST /v1/\S+/start: 200 in \d+ ms$", finished.log, re.MULTILINE)
    assert "loading on the studio in training with well True" in finished.log
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
        assert secret not in finished.log + run["all"]
    assert not [path for path in step.workspace.rglob("*") if path.suffix == ".pyc" or path.name == ".zen"]
    assert list((step.root / "home").iterdir()) == []


@pytest.mark.slow
def test_async_ends_with_the_command_and_the_run_goes_on(
    cloud: LightningCloud, actions: Actions, laptop: Laptop, variables: dict[str, str]
) -> None:
    files = {"run.py": TINY.replace("ARGUMENT", "None")}
    step = actions.step(
        files, submit_from="runner", run="", pipeline="run.tiny", variables=variables, **{"async": "true"}
    )
    finished = step.run()
    assert (finished.exit_code, finished.post_exit_code) == (0, 0), finished.log
    assert finished.outputs["status"] == "running"
    assert "is running" in actions.comment()
    assert finished.outputs["orchestrator-url"] in actions.comment()
    wait_for(lambda: cloud.studio(finished.outputs["studio-name"]).deleted)
    run = laptop.last_run()
    assert (run["id"], run["status"]) == (finished.outputs["run-id"], "completed")


MOMENTS = {"installing": "Install on the runner", "starting": "created, starting", "running": "waiting now"}
SLOW = {
    "run.py": "import time\nfrom zenml import pipeline, step\n"
    "@step\ndef wait() -> None:\n    print('waiting now', flush=True)\n    time.sleep(600)\n"
    "@pipeline(enable_cache=False)\ndef slow():\n    wait()\nif __name__ == '__main__':\n    slow()\n"
}


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("installing", signal.SIGINT),
        ("starting", signal.SIGINT),
        pytest.param("running", signal.SIGTERM, marks=pytest.mark.slow),
        ("running", signal.SIGKILL),
    ],
)
def test_a_cancel_leaves_nothing(
    cloud: LightningCloud,
    actions: Actions,
    laptop: Laptop,
    variables: dict[str, str],
    moment: str,
    number: signal.Signals,
) -> None:
    # Time to be cancelled in.
    cloud.knobs.setup_seconds = 1
    step = actions.step(SLOW, submit_from="runner", variables=variables)
    finished = step.run(interrupt=lambda line: number if MOMENTS[moment] in line else None)
    killed = number is signal.SIGKILL
    assert finished.exit_code == (-number if killed else 128 + number), finished.log
    assert finished.post_exit_code == 0
    wait_for(lambda: not cloud.running())
    assert all(studio.deleted for studio in cloud.studios if studio.name.startswith("zenml-slow"))
    assert "was cancelled" in actions.comment()
    if moment != "installing":
        assert laptop.last_run()["status"] == "stopped", finished.log


@pytest.mark.slow
def test_a_run_whose_client_is_killed_on_the_runner_fails(
    cloud: LightningCloud, actions: Actions, laptop: Laptop, variables: dict[str, str]
) -> None:
    # Time to be killed in.
    cloud.knobs.setup_seconds = 1
    command = "python run.py & echo $! > client; wait $!"
    step = actions.step(SLOW, submit_from="runner", run=command, variables=variables)

    def kill(line: str) -> None:
        if MOMENTS["starting"] in line:
            os.kill(int((step.workspace / "client").read_text()), signal.SIGKILL)

    finished = step.run(interrupt=kill)
    assert (finished.exit_code, finished.post_exit_code) == (1, 0), finished.log
    wait_for(lambda: not cloud.running())
    assert all(studio.deleted for studio in cloud.studios if studio.name.startswith("zenml-slow"))
    assert laptop.last_run()["status"] == "failed", finished.log


@pytest.mark.slow
def test_a_kill_leaves_nothing_of_several_runs(
    cloud: LightningCloud, actions: Actions, variables: dict[str, str]
) -> None:
    both = "python run.py; python run.py; echo both are submitted; sleep 60"
    step = actions.step(SLOW, submit_from="runner", run=both, variables=variables, **{"async": "true"})
    finished = step.run(
        interrupt=lambda line: signal.SIGKILL if "both are submitted" in line and "echo" not in line else None
    )
    assert (finished.exit_code, finished.post_exit_code) == (-signal.SIGKILL, 0), finished.log
    made = [studio for studio in cloud.studios if f"Studio {studio.name} created" in finished.log]
    assert len(made) == 2
    assert all(studio.deleted for studio in made)
    assert "was cancelled" in actions.comment()


@pytest.mark.slow
def test_stop_on_cancel_false_leaves_the_run_alone(
    cloud: LightningCloud, actions: Actions, laptop: Laptop, variables: dict[str, str]
) -> None:
    until_told = SLOW["run.py"].replace(
        "time.sleep(600)", "import pathlib\n    while not pathlib.Path('~/go').expanduser().exists(): time.sleep(0.1)"
    )
    step = actions.step({"run.py": until_told}, submit_from="runner", stop_on_cancel="false", variables=variables)
    finished = step.run(interrupt=lambda line: signal.SIGINT if MOMENTS["running"] in line else None)
    assert finished.exit_code == 130, finished.log
    assert any("goes on" in text for _, text in finished.annotations)
    studio = cloud.studio(finished.outputs["studio-name"])
    assert cloud.running() == [studio.name]
    (studio.home / "go").touch()
    wait_for(lambda: studio.deleted)
    assert laptop.last_run()["status"] == "completed"


def test_what_goes_wrong_on_the_runner_is_told_and_costs_nothing(
    cloud: LightningCloud, actions: Actions, variables: dict[str, str]
) -> None:
    studios = len(cloud.studios)
    files = {"run.py": "import no_such_module\n", "requirements.txt": "lightning-zenml-no-such-package==1\n"}
    broken = actions.step(files, submit_from="runner", requirements="requirements.txt", variables=variables).run()
    assert broken.exit_code == 1
    assert [text[:54] for level, text in broken.annotations if level == "error"] == [
        "The requirements can't be installed on the runner (exi"
    ]
    missing = actions.step(files, submit_from="runner", variables=variables).run()
    assert missing.exit_code == 1
    assert [text for level, text in missing.annotations if level == "error"] == [
        (
            "The run failed with exit code 1: python run.py: ModuleNotFoundError: No module named 'no_such_module'. "
            "List the package that brings `no_such_module` in a file that `requirements` names."
        )
    ]
    assert (broken.codes[-1], missing.codes[-1]) == ("LZ-2007", "LZ-5001")
    assert "file=run.py,line=1::" in missing.log
    assert len(cloud.studios) == studios


@pytest.mark.slow
def test_a_failing_step_is_told_of(cloud: LightningCloud, actions: Actions, variables: dict[str, str]) -> None:
    files = {"run.py": TINY.replace("ARGUMENT", "'fail'")}
    finished = actions.step(files, submit_from="runner", studio_name="warm", variables=variables).run()
    assert (finished.exit_code, finished.outputs["status"]) == (1, "failed"), finished.log
    assert [text for level, text in finished.annotations if level == "error"] == [
        "Step `train` failed: ValueError: the loss is NaN"
    ]
    wait_for(lambda: not cloud.running())
    assert not cloud.studio("warm").deleted


def test_a_run_that_takes_too_long_is_stopped_with_the_command(
    cloud: LightningCloud, actions: Actions, variables: dict[str, str]
) -> None:
    finished = actions.step(
        submit_from="runner", run="echo compiling; sleep 600", timeout_minutes="0.25", variables=variables
    ).run()
    assert finished.exit_code == 1
    assert [text for level, text in finished.annotations if level == "error"] == [
        "Stopped: it ran longer than its timeout of 0.25 minutes."
    ]
    assert finished.codes == ["LZ-5004"]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """Address of an index that holds `of-our-own` alone."""
    name = "of_our_own-1"
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("of_our_own.py", "")
        wheel.writestr(f"{name}.dist-info/METADATA", "Metadata-Version: 2.1\nName: of-our-own\nVersion: 1\n")
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_runner_and_studio_install_from_the_index_that_env_names(
    actions: Actions, variables: dict[str, str], index: str
) -> None:
    files = {
        "run.py": "import of_our_own\n" + TINY.replace("ARGUMENT", "None"),
        "requirements.txt": "of-our-own\n",
    }
    step = actions.step(
        files, submit_from="runner", requirements="requirements.txt", env=f"UV_FIND_LINKS={index}", variables=variables
    )
    finished = step.run()
    assert (finished.exit_code, finished.outputs["status"]) == (0, "completed"), finished.log
