"""`lightning-zenml doctor` and `init`, where there are services to ask."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from cli_scene import Shell
from lightning_api import eventually
from localcloud.lightning import LightningCloud
from localcloud.stack import Stack, register_stack
from localcloud.zenml import ZenML


@pytest.fixture
def shell(shared_services: Stack, tmp_path: Path) -> Shell:
    return Shell(shared_services, tmp_path)


@pytest.fixture
def github(shared_services: Stack, shell: Shell) -> dict[str, str]:
    """Variables of a token for a repository with a pull request."""
    assert shared_services.github is not None
    shared_services.github.add_pull_request("octo/doctor", 1 + uuid4().int % 10**6, head_sha="1" * 40, head_ref="b")
    for command in (["init", "-q"], ["remote", "add", "origin", "https://github.com/octo/doctor"]):
        subprocess.run(["git", *command], cwd=shell.folder, check=True)
    return {"GITHUB_API_URL": shared_services.github.url, "GITHUB_TOKEN": shared_services.github.token}


def results(told: str) -> dict[str, str]:
    return {line[9:].partition(":")[0]: line.split()[0] for line in told.splitlines()}


def test_all_is_well(shell: Shell, github: dict[str, str]) -> None:
    told = shell.run("doctor", **github).stdout
    # What Lightning does not tell is no fault.
    unknown = ("role", "credits", "machines at once")
    assert {check: result for check, result in results(told).items() if result != "ok"} == dict.fromkeys(
        unknown, "skipped"
    )
    assert {"ZenML server", "artifact store", "teamspace", "machine cpu", "GitHub comment", "clock"} <= set(
        results(told)
    )
    assert "an hour" in told
    assert shell.stack.zenml_api_key not in told


def test_each_thing_that_is_wrong_is_told_beside_the_others(shell: Shell, github: dict[str, str]) -> None:
    stand_in = shell.stack.github
    assert stand_in is not None
    stand_in.read_only = True
    wrong = {"LIGHTNING_API_KEY": "wrong", "LIGHTNING_USER_ID": "wrong", "LIGHTNING_TEAMSPACE": "acme/vision"}
    try:
        found = shell.run("doctor", "--stack", "default", code=1, **wrong, **github)
    finally:
        stand_in.read_only = False
    told = results(found.stdout)
    assert told["ZenML server"] == "ok"
    assert told["ZenML stack"] == told["artifact store"] == told["Lightning key"] == told["GitHub comment"] == "wrong"
    assert told["GitHub status"] == "warning"
    assert told["machines"] == "skipped"
    assert "`zenml orchestrator register NAME --flavor=lightning`" in found.stdout
    assert "give the job `pull-requests: write`" in found.stdout


def test_each_key_that_is_missing_is_told_by_its_name(shell: Shell) -> None:
    # Whoever has logged in before needs no key.
    nobody = {"ZENML_STORE_API_KEY": "", "ZENML_CONFIG_PATH": str(shell.folder)}
    told = shell.run("doctor", code=1, **nobody).stdout
    assert "wrong    ZenML server: There is no key for the ZenML server" in told
    assert "wrong    Lightning key: There is no Lightning API key" in told
    assert told.count("wrong") == 2


@pytest.fixture
def cloud(shared_services: Stack) -> Iterator[LightningCloud]:
    assert shared_services.lightning is not None
    yield shared_services.lightning
    shared_services.lightning.accounts.standing = {}
    shared_services.lightning.knobs.fail.clear()
    shared_services.lightning.delete_everything()


def test_a_studio_looks_too_and_is_deleted(shell: Shell, cloud: LightningCloud) -> None:
    cloud.accounts.standing = {
        "roles": [{"id": "r", "name": "Admin"}],
        "balance": 12.5,
        "quotas": {"maxRunningLightningWorks": "4"},
    }
    before = len(cloud.studios)
    refused = shell.run("doctor", "--studio", code=2)
    assert "agree with `--yes`" in refused.stderr
    assert len(cloud.studios) == before

    found = shell.run("doctor", "--studio", "--yes")

    told = results(found.stdout)
    assert told["role"] == told["credits"] == told["machines at once"] == "ok"
    assert "Admin" in found.stdout
    assert "$12.50 are left" in found.stdout
    from_there = {check: result for check, result in told.items() if "a studio" in check}
    assert from_there.pop("package index from a studio") in {"ok", "wrong"}
    assert from_there == dict.fromkeys(
        ("ZenML server from a studio", "clock of a studio", "artifact store from a studio"), "ok"
    )
    assert "an hour, so some $0." in found.stderr
    (studio,) = cloud.studios[before:]
    assert studio.deleted
    assert shell.stack.zenml_api_key not in found.stdout + found.stderr


@pytest.mark.parametrize(
    ("kill", "fails"),
    [
        pytest.param(signal.SIGINT, False, id="interrupted"),
        pytest.param(signal.SIGINT, True, id="interrupted, and refused", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, False, id="killed", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, False, id="ended", marks=pytest.mark.slow),
    ],
)
def test_no_studio_outlives_it(shell: Shell, cloud: LightningCloud, kill: signal.Signals, fails: bool) -> None:
    before = len(cloud.studios)
    with shell.start("doctor", "--studio", "--yes") as process:
        assert process.stderr is not None
        assert any("Starting the launch" in line for line in process.stderr)
        if fails:
            cloud.knobs.fail.append(("DELETE", "/cloudspaces/", 503, 8))
        process.send_signal(kill)
        process.communicate(timeout=300)
    # What can't be released is told by another code, unless that was while the launch began.
    assert process.returncode in ((-kill,) if kill == signal.SIGKILL else (1, 130) if fails else (130,))
    (studio,) = cloud.studios[before:]
    eventually(lambda: studio.deleted)


@pytest.mark.slow
def test_a_machine_that_is_not_sold_is_wrong_where_it_is_asked_for(shell: Shell) -> None:
    found = shell.run("doctor", "--machine-type", "cpu, warp-drive", "--json", code=1).stdout
    assert '"machine warp-drive"' in found


def has_several_stacks(zenml: ZenML) -> bool:
    """Whether a test before has left one on the server, which they share."""
    stacks = zenml.request("GET", "stacks?hydrate=true&size=100")["items"]
    found = [one["metadata"]["components"].get("orchestrator", [{}])[0].get("body", {}) for one in stacks]
    return [body.get("flavor_name") for body in found].count("lightning") > 1


def test_stack_and_teamspace_are_seen_by_init(shell: Shell) -> None:
    (shell.folder / "run.py").write_text("")
    assert "--body acme/vision" in shell.run("init").stdout
    workflow = shell.folder / ".github/workflows/train.yml"
    inputs = yaml.safe_load(workflow.read_text())["jobs"]["train"]["steps"][-1]["with"]
    assert ("stack" in inputs) == has_several_stacks(shell.stack.zenml)

    request, name = shell.stack.zenml.request, f"another-{uuid4().hex[:8]}"
    store = request("GET", "components?type=artifact_store&name=s3_store")["items"][0]["id"]
    other = register_stack(shell.stack.zenml, name, store, shell.stack.orchestrator_id)
    try:
        shell.run("init", "--force")
        assert yaml.safe_load(workflow.read_text())["jobs"]["train"]["steps"][-1]["with"]["stack"] == "lightning"
    finally:
        request("DELETE", f"stacks/{other}")
