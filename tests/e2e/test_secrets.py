"""Where credentials must never be found, after and during a run of the laptop and of the Action."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import Actions, Laptop

RUN = """
import json, os
from pathlib import Path

from zenml import pipeline, step
from zenml.config.schedule import Schedule


@step(enable_cache=False)
def look() -> None:
    commands = [path.read_bytes().decode(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline")]
    # What the platform itself gives to every process of its owner's studio.
    platform = ("LIGHTNING_USER_ID", "LIGHTNING_API_KEY")
    variables = {name: value for name, value in os.environ.items() if name not in platform}
    (Path.home() / "seen.json").write_text(json.dumps({"commands": commands, "variables": variables}))


@pipeline(settings={"orchestrator.lightning": {"main_studio_name": "swept"}})
def looking():
    look()


if __name__ == "__main__":
    looking()
"""


def found(stack: Stack, cloud: LightningCloud, told: str) -> list[str]:
    """Where a secret was found that must not be there."""
    home: Path = cloud.studio("swept").home
    files = {path: path.read_bytes().decode(errors="replace") for path in home.rglob("*") if path.is_file()}
    seen = json.loads(files.pop(home / "seen.json"))
    variables: dict[str, str] = seen["variables"]
    keys = {"Lightning's key": cloud.api_key, "ZenML's key": stack.zenml_api_key}
    # Nor may what a step does need, the run's own token, outlive it in the studio.
    secrets = keys | {"the run's token": variables["ZENML_STORE_API_TOKEN"]}
    requests = ("pipeline_snapshots?named_only=false&", "runs?")
    places = {
        "what was told": told,
        "command lines": "\n".join(seen["commands"]),
        # Besides the header that names the caller, and the contents of files.
        "requests": "\n".join(f"{request.path} {request.query} {request.body}" for request in cloud.requests),
        "newest snapshot and run": json.dumps(
            [stack.zenml.request("GET", f"{path}hydrate=true&sort_by=desc:created&size=1") for path in requests]
        ),
        **{str(path.relative_to(home)): text for path, text in files.items()},
    }
    assert len(files) > 5
    return [f"{name} in {place}" for place, text in places.items() for name, one in secrets.items() if one in text] + [
        f"{name} in the step's variables" for name, one in keys.items() if one in variables.values()
    ]


def test_a_run_from_a_laptop(stack: Stack, cloud: LightningCloud, laptop: Laptop) -> None:
    name = f"lightning-{uuid4().hex[:6]}"
    stack.zenml.request("POST", "secrets", {"name": name, "values": {"api_key": cloud.api_key}})
    register = ("zenml", "orchestrator", "register", name, "--flavor=lightning", f"--user_id={cloud.user_id}")
    laptop.run(*register, f"--api_key={{{{{name}.api_key}}}}", "--organization=acme", "--teamspace=vision")
    laptop.run("zenml", "stack", "register", name, "-o", name, "-a", "s3_store")
    (laptop.folder / "run.py").write_text(RUN)
    stack_id = stack.zenml.request("GET", f"stacks?name={name}")["items"][0]["id"]

    ran = laptop.run(sys.executable, "run.py", ZENML_ACTIVE_STACK_ID=stack_id)

    assert found(stack, cloud, ran.stdout + ran.stderr) == []
    # lightning-sdk's telemetry: names and arguments of what was called.
    assert not [request for request in cloud.requests if "sdk-command-history" in request.path]


def test_a_run_of_the_action(stack: Stack, cloud: LightningCloud, actions: Actions) -> None:
    finished = actions.step({"run.py": RUN}, studio_name="swept").run()

    assert finished.exit_code == 0, finished.log
    log = "\n".join(line for line in finished.log.splitlines() if not line.startswith("::add-mask::"))
    assert found(stack, cloud, log + actions.comment() + json.dumps(finished.outputs)) == []


@pytest.mark.parametrize(
    "call", ["looking()", "looking.with_options(schedule=Schedule(cron_expression='0 6 * * *'))()"]
)
def test_zenmls_own_credentials_are_never_packed(cloud: LightningCloud, laptop: Laptop, call: str) -> None:
    (laptop.folder / "run.py").write_text(RUN.replace("    looking()", f"    {call}"))
    studios = len(cloud.studios)
    inside = {"ZENML_CONFIG_PATH": str(laptop.folder / "config")}

    failed = subprocess.run(
        [sys.executable, "run.py"],
        cwd=laptop.folder,
        env=laptop.environment() | inside,
        capture_output=True,
        text=True,
        check=False,
    )

    assert failed.returncode == 1
    assert "ZenML keeps its keys in" in failed.stdout + failed.stderr
    assert len(cloud.studios) == studios
