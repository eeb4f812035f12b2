"""`lightning-zenml status` and `stop`: a launch is found by whatever names it, and told of, and ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from cli_scene import PROGRAM, Runs, Shell, launch
from lightning_api import credentials, eventually
from lightning_zenml.launch.launcher import Launch
from lightning_zenml.launch.lightning.client import Lightning
from localcloud.lightning import LightningCloud
from localcloud.stack import STACK, Stack

LOGIN = f"""
import sys
from zenml.cli.login import connect_to_server
from zenml.client import Client

connect_to_server(sys.argv[1], api_key=sys.argv[2])
Client().activate_stack({STACK!r})
"""


@pytest.fixture(scope="module")
def runs(shared_services: Stack, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs.make(shared_services, tmp_path_factory.mktemp("runs"), 10)


@pytest.fixture
def cloud(shared_services: Stack) -> Iterator[LightningCloud]:
    assert shared_services.lightning is not None
    yield shared_services.lightning
    shared_services.lightning.delete_everything()


@pytest.fixture
def lightning(cloud: LightningCloud) -> Lightning:
    return Lightning.connect(credentials(cloud), url=cloud.url)


@pytest.fixture
def shell(shared_services: Stack, tmp_path: Path) -> Shell:
    return Shell(shared_services, tmp_path)


@pytest.fixture
def under_way(lightning: Lightning, tmp_path: Path) -> Launch:
    found = launch(lightning, tmp_path, "echo working; sleep 600")
    eventually(lambda: found.status().phase == "running")
    return found


def repository(name: str, shell: Shell) -> None:
    """Makes the shell's folder a clone of it."""
    for command in (["init", "-q"], ["remote", "add", "origin", f"git@github.com:{name}.git"]):
        subprocess.run(["git", *command], cwd=shell.folder, check=True)


def test_a_launch_is_told_of_by_all_its_names_and_stopped_by_its_pull_request(
    cloud: LightningCloud, runs: Runs, shell: Shell, under_way: Launch
) -> None:
    run = runs.of(under_way.id, github={"repository": "octo/status", "pull_request": 7})
    runs.of("zenml-status-00000000-00000001", "completed", {"repository": "octo/status", "pull_request": 7})
    repository("octo/status", shell)

    listed = {one["run_id"]: one for one in shell.json("status")}
    assert listed[run["id"]]["launch_id"] == under_way.id
    assert listed[run["id"]]["pull_request"] == 7
    (told,) = shell.json("status", run["name"])
    assert (told["launch_id"], told["phase"], told["studio"]) == (under_way.id, "running", under_way.studio_name)
    assert told["cost"] > 0
    assert [one["status"] for one in told["runs"]] == ["running"]
    assert shell.json("status", run["id"])[0]["launch_id"] == under_way.id
    assert under_way.studio_url in shell.run("status", under_way.id).stdout
    ended, goes_on = sorted(shell.json("status", "#7"), key=lambda one: str(one["phase"]))
    assert (ended["phase"], goes_on["launch_id"]) == ("ended", under_way.id)
    assert "octo/status#7" in shell.run("status", "--ended", "1").stdout

    stopped = shell.run("stop", "https://github.com/octo/status/pull/7", "--grace", "1").stdout

    assert f"{under_way.id}: Stopped. Studio {under_way.studio_name} deleted, cost $" in stopped
    assert runs.status(run["id"]) == "stopped"
    assert cloud.studio(under_way.studio_name).deleted
    assert shell.json("stop", run["name"]) == [
        {"launch_id": under_way.id, "stopped": False, "told": "It has ended before."}
    ]


def test_what_a_push_has_started_is_found_by_the_branch_of_its_pull_request(runs: Runs, shell: Shell) -> None:
    github, branch = shell.stack.github, f"better-{uuid4().hex[:8]}"
    assert github is not None
    number = 1 + uuid4().int % 10**6
    github.add_pull_request("octo/pushed", number, head_sha="2" * 40, head_ref=branch)
    run = runs.of("zenml-pushed-00000000-00000001", "failed", {"repository": "octo/pushed", "branch": branch})
    token = {"GITHUB_API_URL": github.url, "GITHUB_TOKEN": github.token}

    assert [one["run_id"] for one in shell.json("cost", f"octo/pushed#{number}", **token)] == [run["id"]]
    assert "set GITHUB_TOKEN" in shell.run("cost", f"octo/pushed#{number}", code=3).stderr
    away = shell.run("cost", f"octo/pushed#{number}", code=3, GITHUB_API_URL="http://127.0.0.1:9", GITHUB_TOKEN="t")
    assert "GitHub doesn't answer at http://127.0.0.1:9 (Connection refused)." in " ".join(away.stderr.split())


def test_a_launch_is_followed_left_and_taken_over_again(
    cloud: LightningCloud, lightning: Lightning, runs: Runs, shell: Shell, tmp_path: Path
) -> None:
    until = "while ! test -e ~/{0}; do sleep 0.1; done"
    command = f"echo working; {until.format('go')}; echo went; {until.format('end')}"
    found = launch(lightning, tmp_path, command)
    run = runs.of(found.id)
    eventually(lambda: "working\n" in "".join(found.log()))

    assert "working\n" in shell.run("logs", run["name"]).stdout
    with shell.start("attach", found.id) as attached:
        assert attached.stdout is not None
        assert any(line == "working\n" for line in attached.stdout)
        attached.send_signal(signal.SIGINT)
        _, told = attached.communicate(timeout=120)
        assert attached.returncode == 130
        assert f"`lightning-zenml stop {found.id}`" in told
    assert found.is_under_way()
    with shell.start("logs", "-f", found.id) as following, shell.start("attach", found.id) as attached:
        for process in (following, attached):
            assert process.stdout is not None
            assert any(line == "working\n" for line in process.stdout)
        (cloud.studio(found.studio_name).home / "go").touch()
        for process in (following, attached):
            assert process.stdout is not None
            assert any(line == "went\n" for line in process.stdout)
        # Who attaches releases the studio at the end, be the other done reading or not.
        runs.end(run, "completed")
        (cloud.studio(found.studio_name).home / "end").touch()
        following.communicate(timeout=120)
        _, told = attached.communicate(timeout=120)
    assert (following.returncode, attached.returncode) == (0, 0), told
    assert f"Studio {found.studio_name} deleted" in told
    assert f"{run['name']}: completed" in told
    assert cloud.studio(found.studio_name).deleted
    # How it ended is told again, by ZenML.
    assert "completed" in shell.run("attach", run["name"]).stderr


@pytest.mark.slow
def test_a_launch_that_failed_is_told_as_failed(
    cloud: LightningCloud, lightning: Lightning, runs: Runs, shell: Shell, tmp_path: Path
) -> None:
    found = launch(lightning, tmp_path, "echo 'the loss is NaN'; exit 3")
    run = runs.of(found.id, "failed")
    failed = shell.run("attach", found.id, code=1)
    assert "the loss is NaN\n" in failed.stdout
    assert "exit code 3" in failed.stderr
    assert f"{run['name']}: failed" in failed.stderr


def test_costs_are_told_by_run_pull_request_and_month(runs: Runs, shell: Shell) -> None:
    name = f"octo/cost-{uuid4().hex[:8]}"
    hour_ago = {"machine": "T4", "price": 2.0, "since": time.time() - 3600}
    first = runs.of("zenml-cost-00000000-00000001", "failed", {"repository": name, "pull_request": 7}, hour_ago)
    # The second run of the same launch pays for what comes after the first.
    second = runs.of("zenml-cost-00000000-00000001", "completed", {"repository": name, "pull_request": 7}, hour_ago)
    unknown = runs.of("zenml-cost-00000000-00000002", "failed", {"repository": name, "pull_request": 8})

    told = {one["run_id"]: one for one in shell.json("cost", f"{name}#7")}
    assert set(told) == {first["id"], second["id"]}
    assert 2 <= sum(one["studio"] for one in told.values()) < 3
    assert min(one["studio"] for one in told.values()) < 1
    assert [one["jobs"] for one in told.values()] == [0, 0]

    by_pull_request = {one["name"]: one for one in shell.json("cost", "--by", "pull-request", "--months", "2")}
    assert by_pull_request[f"{name}#7"]["runs"] == 2
    assert 2 <= by_pull_request[f"{name}#7"]["cost"] < 3
    assert by_pull_request[f"{name}#8"] == {"name": f"{name}#8", "runs": 1, "cost": 0, "unknown": 1}
    listed = shell.run("cost").stdout
    assert all(one["name"] in listed for one in (first, second, unknown))
    assert "\n1 run: " in shell.run("cost", f"{name}#8").stdout
    assert f"{datetime.now(UTC):%Y-%m}" in shell.run("cost", "--by", "month").stdout
    assert shell.json("cost", "--month", "2020-01") == []


def test_what_is_not_there_is_told_with_what_to_do(shell: Shell) -> None:
    assert "`lightning-zenml status --ended 20`" in shell.run("status", "no-such-run", code=3).stderr
    assert "has not begun yet is found by its id" in shell.run("stop", "octo/nothing#12", code=3).stderr
    assert "`owner/name#12`" in shell.run("status", "12", code=2).stderr


def test_all_that_is_missing_is_told_at_once(shell: Shell) -> None:
    nowhere = {"ZENML_STORE_URL": "", "ZENML_CONFIG_PATH": str(shell.folder)}
    missing = shell.run("sweep", code=2, **nowhere).stderr
    assert "ZENML_STORE_URL" in missing
    assert "LIGHTNING_API_KEY" in missing


def test_refusals_are_told_without_a_traceback(cloud: LightningCloud, shell: Shell) -> None:
    wrong = {"LIGHTNING_API_KEY": "wrong", "LIGHTNING_USER_ID": "wrong", "LIGHTNING_TEAMSPACE": "acme/vision"}
    assert "refuses the API key" in shell.run("sweep", code=2, **wrong).stderr
    assert "no-such" in shell.run("sweep", "--teamspace", "acme/no-such", code=2).stderr
    assert "There is no ZenML stack `nope`" in shell.run("sweep", "--stack", "nope", code=3).stderr
    assert "can't be reached" in shell.run("status", code=4, ZENML_STORE_URL="http://127.0.0.1:9").stderr


@pytest.mark.slow
def test_who_has_logged_in_with_zenml_needs_no_variables(shell: Shell, under_way: Launch, runs: Runs) -> None:
    run = runs.of(under_way.id)
    stack, config = shell.stack, shell.folder / "config"
    config.mkdir()
    environment = {**shell.environment(), "ZENML_CONFIG_PATH": str(config)}
    for name in ("ZENML_STORE_URL", "ZENML_STORE_API_KEY", "ZENML_ACTIVE_STACK_ID"):
        environment.pop(name)
    subprocess.run([sys.executable, "-c", LOGIN, stack.zenml_url, stack.zenml_api_key], env=environment, check=True)

    done = subprocess.run([PROGRAM, "status", run["id"]], env=environment, capture_output=True, text=True, check=False)

    assert under_way.id in done.stdout, done.stderr
