"""The orchestrator from a laptop, word for word as documented."""

from __future__ import annotations

import json
import re
import sys

import pytest

from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import TINY, Laptop, check_out, wait_for
from terminals import run_in_terminal

RUN = """
import sys

from zenml import pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings


@step
def train() -> int:
    # Commands run in the source root, steps in the folder where the script was started.
    with open("../commanded.txt") as file:
        assert file.read() == "custom command\\n"
    # A copy of the fork server, and no process that has imported ZenML for itself.
    assert sys.modules["__main__"].__spec__.name.endswith(".forkserver_program")
    return 42


lightning_settings = LightningOrchestratorSettings(
    main_studio_name="my_studio",
    machine_type="cpu",
    async_mode=True,
    custom_commands=["cd ..", "cd -", "echo custom command > commanded.txt"],
)


@pipeline(enable_cache=False, settings={"orchestrator.lightning": lightning_settings})
def my_pipeline():
    train()


if __name__ == "__main__":
    my_pipeline()
"""


def register(laptop: Laptop, name: str, *attributes: str) -> None:
    laptop.run("zenml", "orchestrator", "register", name, "--flavor=lightning", *attributes)
    laptop.run("zenml", "stack", "register", name, "-o", name, "-a", "s3_store")


def test_the_documented_use(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    register(
        laptop,
        "documented",
        f"--user_id={cloud.user_id}",
        f"--api_key={cloud.api_key}",
        f"--organization={cloud.organization}",
        f"--teamspace={cloud.teamspace}",
    )
    (laptop.folder / "training").mkdir()
    (laptop.folder / "training/run.py").write_text(RUN)
    laptop.run("zenml", "init")
    script = f"cd training && {sys.executable} run.py"
    environment = laptop.environment(ZENML_ACTIVE_STACK_ID=stack_id(laptop, "documented"))
    submitted = run_in_terminal(["bash", "-c", script], laptop.folder, environment)
    assert submitted.exit_code == 0, submitted.terminal
    # How far it is was seen below ZenML's lines, which stay whole.
    assert "Packing /" in submitted.terminal
    assert "Packing /" not in "".join(submitted.lines)
    assert any("The run goes on in the studio my_studio" in line for line in submitted.lines), submitted.terminal
    run = laptop.last_run()
    assert run["metadata"]["orchestrator_url"] == f"{cloud.url}/acme/vision/studios/my_studio/code"
    wait_for(lambda: laptop.last_run()["status"] == "completed")
    # Stopped before, so stopped again, by nobody's hand.
    wait_for(lambda: not cloud.running())
    assert not cloud.studio("my_studio").deleted
    for told in (run["all"], submitted.terminal):
        assert cloud.api_key not in told


@pytest.mark.slow
def test_credentials_from_the_environment_alone(cloud: LightningCloud, laptop: Laptop) -> None:
    register(laptop, "bare")
    (laptop.folder / "run.py").write_text(RUN.replace("async_mode=True", "async_mode=False").replace("../", ""))
    environment = {
        "LIGHTNING_USER_ID": cloud.user_id,
        "LIGHTNING_API_KEY": cloud.api_key,
        "LIGHTNING_ORG": cloud.organization,
        "LIGHTNING_TEAMSPACE": cloud.teamspace,
        "ZENML_ACTIVE_STACK_ID": stack_id(laptop, "bare"),
    }
    laptop.run(sys.executable, "run.py", **environment)
    run = laptop.last_run()
    assert run["status"] == "completed"
    assert cloud.api_key not in run["all"]
    wait_for(lambda: not cloud.running())


def test_a_checkout_runs_from_the_command_line(cloud: LightningCloud, laptop: Laptop) -> None:
    cell = 'import os; assert os.environ["NOTE"] == "kept # whole"; print("training")'
    code = TINY.replace("ARGUMENT", "None").replace('print("loading")', cell)
    sha = check_out({"code/run.py": code, "code/requirements.txt": "idna\n"}, laptop.folder)
    (laptop.folder / "code/untracked.txt").write_text("not committed")
    command = ["lightning-zenml", "run", "--json", "--env", "NOTE", "--", "python", "run.py"]
    environment = laptop.environment(NOTE="kept # whole")
    done = run_in_terminal(command, laptop.folder / "code", environment, only_stderr=True)
    assert done.exit_code == 0, done.terminal
    told, run = json.loads(done.stdout), laptop.last_run()
    assert (told["status"], told["failure"]) == ("completed", None)
    assert told["runs"] == [
        {"id": run["id"], "name": run["name"], "url": told["runs"][0]["url"], "status": "completed"}
    ]
    assert run["id"] in told["runs"][0]["url"]
    assert (run["metadata"]["laptop"]["sha"], run["metadata"]["laptop"]["uncommitted"]) == (sha, True)
    assert "github" not in run["metadata"]
    assert "To have it installed, set `--requirements requirements.txt`." in " ".join(done.terminal.split())
    # How far it was is seen there, and in the end how long each step took.
    assert "⠋" in done.terminal
    assert [line.split()[:2] for line in done.lines[-3:-1]] == [["load", "completed"], ["train", "completed"]]
    assert any("training" in line for line in done.lines)
    assert cloud.studio(told["studio"]).deleted
    for place in (run["all"], done.stdout, done.terminal):
        assert cloud.api_key not in place


@pytest.mark.parametrize(("argument", "how"), [("", "is completed"), ("--fail", "has failed")])
def test_in_the_end_it_is_told_what_became_of_run_and_studio_and_what_it_cost(
    cloud: LightningCloud, laptop: Laptop, argument: str, how: str
) -> None:
    (laptop.folder / "run.py").write_text(TINY.replace("ARGUMENT", repr(argument.removeprefix("--"))))
    command = [sys.executable, "run.py", *filter(None, [argument])]
    done = run_in_terminal(command, laptop.folder, laptop.environment())
    assert bool(done.exit_code) is (how == "has failed"), done.terminal
    # ZenML makes a colour of what stands in backticks.
    shown, run = re.sub(r"\[[\d;]*m|\s", "", "".join(done.lines)), laptop.last_run()
    told = rf"Therun{run['name']}{how.replace(' ', '')}\.Studio(zenml-tiny-[0-9a-f]+)deleted,cost\$0\.\d{{4}}\."
    assert (found := re.search(told, shown)), done.terminal
    assert cloud.studio(found[1]).deleted


def test_without_credentials_nothing_is_started(cloud: LightningCloud, laptop: Laptop) -> None:
    register(laptop, "keyless")
    studios = len(cloud.studios)
    (laptop.folder / "run.py").write_text(RUN)
    failed = laptop.run(sys.executable, "run.py", check=False, ZENML_ACTIVE_STACK_ID=stack_id(laptop, "keyless"))
    assert failed.returncode != 0
    assert "LIGHTNING_API_KEY" in failed.stderr + failed.stdout
    assert len(cloud.studios) == studios


def stack_id(laptop: Laptop, name: str) -> str:
    listed = laptop.run("zenml", "stack", "list", "--output=json", f"--name={name}").stdout
    found: str = json.loads(
        listed[listed.index("{") if listed.index("{") < listed.index("[") else listed.index("[") :]
    )["items"][0]["id"]
    return found
