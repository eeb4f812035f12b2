"""Where credentials must never be found, after and during a run of the laptop and of the Action."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from localcloud.chaos import Fault, chaos
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack
from scene import TINY, Actions, Laptop

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


SHOWING = TINY.replace("ARGUMENT", "None").replace(
    'print("loading")',
    "import os, pathlib; token = os.environ['ZENML_STORE_API_TOKEN']; print('of the step', token); "
    "(pathlib.Path.home() / 'of_step').write_text(token)",
)


def test_tokens_that_another_job_or_zenml_made_stand_in_no_log(cloud: LightningCloud, actions: Actions) -> None:
    go = (
        "echo -n $ZENML_STORE_API_TOKEN > ~/minted; python run.py; while ! test -e ~/go; do sleep 0.1; done; "
        "echo 'minted' $ZENML_STORE_API_TOKEN; echo 'of the step' $(cat ~/of_step)"
    )
    step = actions.step({"run.py": SHOWING}, studio_name="shown", run=go, timeout_minutes="30", **{"async": "true"})
    left = step.run()
    assert left.outputs["status"] == "running", left.log
    inputs = {key: value for key, value in step.inputs.items() if key not in ("run", "async", "studio-name")}
    inputs.pop("timeout-minutes")
    inputs["attach"] = left.outputs["launch-id"]
    later = replace(step, root=step.root.with_name("attached"), inputs=inputs, _masks=set(), _lines=[])
    go_on = cloud.studio("shown").home / "go"
    # It ends under the eyes of whoever follows it.
    attached = later.run(interrupt=lambda line: go_on.touch() if "Run: echo -n" in line else None)
    assert attached.exit_code == 0, attached.log
    told = left.log + attached.log + attached.summary + actions.comment()
    assert {"minted ***", "of the step ***"} <= set(attached.log.splitlines())
    minted, of_step = ((cloud.studio("shown").home / name).read_text() for name in ("minted", "of_step"))
    assert minted.count(".") == of_step.count(".") == 2
    assert [name for name, one in {"minted": minted, "of the step": of_step}.items() if one in told] == []
    claims = json.loads(base64.urlsafe_b64decode(minted.split(".")[1] + "=="))
    # `timeout-minutes`, and an hour.
    assert claims["exp"] - time.time() <= 90 * 60


def test_a_passing_error_keeps_the_long_lived_key_at_home(
    stack: Stack, cloud: LightningCloud, actions: Actions
) -> None:
    studios = len(cloud.studios)
    with chaos(stack) as proxied:
        proxied.zenml.fault(Fault.status(503), "GET", "/api/v1/api_token")
        finished = actions.step(studio_name="unborn", zenml_store_url=proxied.zenml.url).run()
    assert (finished.exit_code, finished.post_exit_code) == (1, 0), finished.log
    assert "gives no short-lived token for the studio now" in finished.log
    assert len(cloud.studios) == studios
    assert not [request for request in cloud.requests if stack.zenml_api_key in f"{request.query} {request.body}"]


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
