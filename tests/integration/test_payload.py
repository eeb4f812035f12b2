"""What the payload does from the start of a launch to its record, as real processes on this machine."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from lightning_api import eventually
from lightning_zenml.launch.payload import lease
from lightning_zenml.launch.payload.protocol import Leased
from payload_studio import Studio


def test_commands_share_one_session_and_the_command_runs_in_its_directory(studio: Studio) -> None:
    studio.start(
        commands=["export COLOUR=green", "cd /"],
        command='echo "$COLOUR $(basename "$PWD") $(python -c "import sys; print(sys.prefix)")"',
        working_directory="sub",
    )
    assert studio.finish() == {"phase": "finished", "exit_code": 0, "failure": None, "stopped": False}
    assert f"green sub {studio.python.parent.parent}" in studio.log
    assert "==> Command 1 of 2: export COLOUR=green\n" in studio.log


def test_the_first_failing_command_ends_it_and_is_named_with_its_output(studio: Studio) -> None:
    studio.start(commands=["true", "echo out of luck; false; echo unreached", "touch reached"])
    failure = studio.finish()["failure"]
    assert failure["phase"] == "commands"
    assert failure["message"].startswith("Command 2 of 3 failed with exit code 1: echo out of luck")
    assert failure["output"] == "out of luck\n"
    assert not (studio.root / "launches/l-1/code/reached").exists()


def test_a_command_that_exits_the_session_is_no_success(studio: Studio) -> None:
    studio.start(commands=["exit 0"])
    status = studio.finish()
    assert status["exit_code"] is None
    assert "ended the session" in status["failure"]["message"]


def test_a_failing_run_is_told_with_exit_code_and_output(studio: Studio) -> None:
    studio.start(command="echo oh no >&2; exit 7")
    status = studio.finish()
    assert status["exit_code"] == 7
    assert status["failure"]["phase"] == "running"
    assert status["failure"]["output"] == "oh no\n"


def test_a_command_that_is_killed_says_what_that_means(studio: Studio) -> None:
    studio.start(command="bash -c 'kill -9 $$'")
    assert studio.finish()["failure"]["message"] == (
        "The run failed with exit code 137 (SIGKILL: killed, most often as the machine has run out of memory): "
        "bash -c 'kill -9 $$'"
    )


def test_starting_twice_starts_once(studio: Studio) -> None:
    studio.start(command="echo ran >> ../ran")
    assert studio.call("start") == {"started": True, "again": True, "lacking": []}
    studio.finish()
    assert (studio.root / "launches/l-1/ran").read_text() == "ran\n"


def test_the_environment_reaches_the_command_and_no_file_keeps_it(studio: Studio) -> None:
    studio.start(
        command='test "${#TOKEN}" = 14 && test -z "$UV_LIGHTNING_VIRTUALENV_ROOT"',
        environment={"TOKEN": "s3cret '\"$(x)`"},
    )
    assert studio.finish()["exit_code"] == 0
    kept = [path for path in studio.home.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert [path.name for path in kept] == []


def test_a_timeout_stops_the_command_and_what_it_started(studio: Studio) -> None:
    studio.start(command="sleep 300 & echo $! > ../child; wait", timeout=5)
    failure = studio.finish()["failure"]
    assert "timeout" in failure["message"]
    child = int((studio.root / "launches/l-1/child").read_text())
    eventually(lambda: not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes())


@pytest.mark.parametrize("command", ["{}", "bash -c {}", "(bash -c {}; echo ended)"])
def test_stop_gives_the_command_its_grace(studio: Studio, command: str) -> None:
    program = "trap 'sleep 1; echo cleaned > ../cleaned; exit 3' TERM; touch ../up; while true; do sleep 0.1; done"
    studio.start(command=command.format(program if command == "{}" else shlex.quote(program)))
    eventually((studio.root / "launches/l-1/up").exists)
    assert studio.call("stop", "--grace", "20")["stopping"]
    assert studio.finish()["stopped"]
    assert (studio.root / "launches/l-1/cleaned").exists()


def test_stop_kills_a_command_that_ignores_it(studio: Studio) -> None:
    studio.start(command="trap '' TERM; touch ../up; while true; do sleep 0.1; done")
    eventually((studio.root / "launches/l-1/up").exists)
    studio.call("stop", "--grace", "0.2")
    assert studio.finish()["stopped"]


def test_requirements_that_cannot_be_installed_end_it(studio: Studio) -> None:
    (studio.scratch / "repository").mkdir(exist_ok=True)
    (studio.scratch / "repository/requirements.txt").write_text("six\n")
    studio.start(requirements=["-r requirements.txt"])
    failure = studio.finish()["failure"]
    assert failure["phase"] == "installing"
    assert "can't be installed" in failure["message"]
    assert "uv pip install" in failure["command"]
    assert failure["output"]


def test_a_fresh_studio_deletes_itself_when_nobody_follows(studio: Studio) -> None:
    studio.start(release="delete")
    studio.call("leave")
    eventually(lambda: studio.platform.sent("DELETE", "/cloudspaces/s"))
    assert studio.platform.sent("POST", "/keep-alive")[0][2] == "Basic secret"


def test_a_client_that_follows_releases_the_studio_itself(studio: Studio) -> None:
    studio.upload(release="stop")
    studio.call("start")
    studio.call("read")
    eventually(lambda: (studio.call("read")["status"] or {}).get("phase") == "finished")
    assert not studio.platform.sent("POST", "/stop")
    studio.call("leave")
    eventually(lambda: studio.platform.sent("POST", "/stop"))


TELL = """
import os
with open(os.environ['LIGHTNING_ZENML_LAUNCH_DIR'] + '/told', 'w') as file:
    file.write(os.environ['LIGHTNING_ZENML_FAILURE'])
"""
TELL_END = """
import os
with open(os.environ['LIGHTNING_ZENML_LAUNCH_DIR'] + '/told', 'w') as file:
    file.write(os.environ['LIGHTNING_ZENML_END'])
"""


def test_the_end_that_nobody_sees_is_kept_before_the_studio_goes(studio: Studio) -> None:
    studio.start(command="touch ../runs.jsonl; echo hidden; exit 3", release="delete", on_failure=["-c", TELL_END])
    studio.call("leave")
    eventually(lambda: studio.platform.sent("DELETE", "/cloudspaces/s"))
    told = (studio.launch / "told").read_text()
    assert json.loads(told)["exit_code"] == 3
    assert "hidden" not in json.loads(told)["failure"]["output"]


def test_a_killed_supervisor_is_noticed_reported_and_the_studio_released(studio: Studio) -> None:
    command = "sleep 300 & echo $! > ../child; touch ../up; wait"
    studio.start(command=command, release="delete", on_failure=["-c", TELL])
    studio.call("leave")
    folder = studio.root / "launches/l-1"
    eventually((folder / "up").exists)
    os.kill(int((folder / "pid").read_text()), 9)
    eventually(lambda: studio.platform.sent("DELETE", "/cloudspaces/s"))
    child = Path("/proc") / (folder / "child").read_text().strip() / "cmdline"
    eventually(lambda: not child.exists() or not child.read_bytes())
    message = json.loads((folder / "status.json").read_text())["failure"]["message"]
    assert "supervisor" in message
    assert (folder / "told").read_text() == message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"commands": ["false"]}, "Command 1 of 1 failed with exit code 1: false"),
        ({"command": "exit 3"}, "The run failed with exit code 3: exit 3"),
        ({"command": "true"}, None),
    ],
)
def test_a_failure_is_reported_before_the_record_says_so(
    studio: Studio, changes: dict[str, Any], told: str | None
) -> None:
    studio.start(on_failure=["-c", TELL], **changes)
    studio.finish()
    file = studio.root / "launches/l-1/told"
    assert (file.read_text() if file.exists() else None) == told


def test_one_launch_at_a_time_has_the_lease(tmp_path: Path) -> None:
    assert lease.acquire(tmp_path, launch_id="a", owner="Ada").acquired
    assert lease.acquire(tmp_path, launch_id="a", owner="Ada").acquired
    assert lease.acquire(tmp_path, launch_id="b", owner="Bob") == Leased(acquired=False, launch="a", owner="Ada")
    assert not lease.release(tmp_path, launch_id="b").released
    assert lease.release(tmp_path, launch_id="a").released
    assert lease.acquire(tmp_path, launch_id="b", owner="Bob").acquired


def test_a_dead_owners_lease_is_void(tmp_path: Path) -> None:
    lease.acquire(tmp_path, launch_id="a", owner="Ada")
    held = json.loads((tmp_path / "lease.json").read_text())
    (tmp_path / "lease.json").write_text(json.dumps(held | {"heartbeat": time.time() - lease.STALE - 1}))
    assert lease.acquire(tmp_path, launch_id="b", owner="Bob").acquired


def test_a_lease_ends_with_the_machine_it_was_taken_on(tmp_path: Path) -> None:
    lease.acquire(tmp_path, launch_id="a", owner="Ada")
    held = json.loads((tmp_path / "lease.json").read_text())
    (tmp_path / "lease.json").write_text(json.dumps(held | {"machine": "an earlier start"}))
    assert lease.acquire(tmp_path, launch_id="b", owner="Bob").acquired


def test_the_lease_of_a_closing_studio_holds_a_little_longer(tmp_path: Path) -> None:
    lease.acquire(tmp_path, launch_id="a", owner="Ada")
    lease.release(tmp_path, launch_id="a", closing=True)
    assert not lease.acquire(tmp_path, launch_id="b", owner="Bob").acquired


def test_whoever_has_a_started_studio_last_puts_it_back(tmp_path: Path) -> None:
    lease.acquire(tmp_path, launch_id="b", owner="Bob")
    assert not lease.acquire(tmp_path, launch_id="a", owner="Ada", started=True).acquired
    assert lease.release(tmp_path, launch_id="b").put_back
    assert not lease.acquire(tmp_path, launch_id="c", owner="Cid").acquired, "it is stopping"


def test_a_studio_that_was_started_for_a_launch_that_died_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease.acquire(tmp_path, launch_id="a", owner="Ada", started=True)
    monkeypatch.setattr(lease, "STALE", -1.0)
    assert lease.acquire(tmp_path, launch_id="b", owner="Bob").acquired
    assert lease.release(tmp_path, launch_id="b").put_back


def test_a_studio_that_a_user_keeps_is_not_put_back(tmp_path: Path) -> None:
    lease.acquire(tmp_path, launch_id="a", owner="Ada", started=True)
    lease.acquire(tmp_path, launch_id="a", owner="Ada", keep=True)
    assert not lease.release(tmp_path, launch_id="a").put_back


def test_a_lease_is_not_given_back_on_a_later_start_of_the_machine(tmp_path: Path) -> None:
    lease.acquire(tmp_path, launch_id="a", owner="Ada")
    lease.release(tmp_path, launch_id="a", closing=True)
    held = json.loads((tmp_path / "lease.json").read_text())
    (tmp_path / "lease.json").write_text(json.dumps(held | {"machine": "an earlier start"}))
    assert not lease.release(tmp_path, launch_id="a", closing=True).released


def test_only_who_has_the_lease_renews_it(tmp_path: Path) -> None:
    assert not lease.renew(tmp_path, launch_id="a")
    lease.acquire(tmp_path, launch_id="a", owner="Ada")
    assert lease.renew(tmp_path, launch_id="a")
    assert not lease.renew(tmp_path, launch_id="b")
    lease.release(tmp_path, launch_id="a", closing=True)
    assert not lease.renew(tmp_path, launch_id="a")
