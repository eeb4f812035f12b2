"""`lightning-zenml doctor` and `init`, where there are services to ask."""

from __future__ import annotations

import subprocess
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from cli_scene import Shell
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
    assert set(results(told).values()) == {"ok"}
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
