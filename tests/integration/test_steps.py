"""Step processes as real processes: who is told which step, and that none is left."""

from __future__ import annotations

import io
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from zenml.utils import source_utils

from lightning_api import eventually
from lightning_zenml.orchestrator.steps.entrypoint import StepEntrypoint, arguments_of
from lightning_zenml.orchestrator.steps.process import StepProcess, StepProcesses
from localcloud.stack import Stack, client_environment


@pytest.fixture
def environment(zenml_stack: Stack, tmp_path: Path) -> dict[str, str]:
    return client_environment(zenml_stack, LIGHTNING_ZENML_CODE=str(tmp_path))


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def processes(environment: dict[str, str], tmp_path: Path, output: io.StringIO) -> Iterator[StepProcesses]:
    # As in the controller. Without it ZenML asks for the main module's file, which a test worker has none of.
    source_utils.set_custom_source_root(str(tmp_path))
    processes = StepProcesses(environment, tmp_path, output)
    yield processes
    processes.close()
    source_utils.set_custom_source_root(None)


def living(directory: Path) -> set[str]:
    """Process ids of the step processes that run in a folder; other tests have theirs elsewhere."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_step = b"orchestrator.steps.process_program" in (process / "cmdline").read_bytes()
            if is_step and (process / "cwd").readlink() == directory:
                parents[process.name] = (process / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
    # What such a process starts is named like itself until it becomes another program.
    return {process for process, parent in parents.items() if parent not in parents}


def arguments() -> list[str]:
    return arguments_of(StepEntrypoint, "train", uuid4(), None)


def exit_code(process: StepProcess) -> int:
    deadline = time.monotonic() + 300
    while (code := process.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return code


def test_the_process_that_waits_is_told_the_step(processes: StepProcesses, output: io.StringIO, tmp_path: Path) -> None:
    processes.prepare()
    processes.prepare()
    # While it becomes another program, a process has no command line.
    (waiting,) = eventually(lambda: living(tmp_path))
    process = processes.begin("train", arguments(), {})
    assert living(tmp_path) == {waiting}
    assert exit_code(process) != 0
    # There is no such snapshot; what matters is whose words these are.
    assert "[train] " in output.getvalue()


def test_a_step_with_variables_of_its_own_gets_a_process_of_its_own(processes: StepProcesses, tmp_path: Path) -> None:
    processes.prepare()
    # While it becomes another program, a process has no command line.
    (waiting,) = eventually(lambda: living(tmp_path))
    process = processes.begin("train", arguments(), {"OMP_NUM_THREADS": "1"})
    assert waiting in living(tmp_path)
    process.kill()
    assert living(tmp_path) == {waiting}


def test_commands_of_a_step_come_first_and_their_exports_reach_it(
    processes: StepProcesses, output: io.StringIO
) -> None:
    process = processes.begin("train", arguments(), {}, ["export GREETING=hello", "cat", "echo $GREETING from $0"])
    assert exit_code(process) != 0
    assert "] hello from bash\n" in output.getvalue()
    # ... and the program behind them was told its step.
    assert "[train] " in output.getvalue()


def test_a_command_of_a_step_that_fails_is_the_end_of_it(processes: StepProcesses, output: io.StringIO) -> None:
    process = processes.begin("train", arguments(), {}, ["false", "echo too far"])
    assert exit_code(process) == 1
    assert "too far" not in output.getvalue()


def test_closing_leaves_no_process(processes: StepProcesses, tmp_path: Path) -> None:
    processes.prepare()
    processes.close()
    assert living(tmp_path) == set()


def test_a_process_that_is_told_nothing_ends_with_its_controller(
    environment: dict[str, str], tmp_path: Path, output: io.StringIO
) -> None:
    process = StepProcess(environment, tmp_path, output)
    process._stdin.close()
    assert exit_code(process) == 0


def test_what_a_shell_runs_has_the_time_that_a_terminated_step_has(
    environment: dict[str, str], tmp_path: Path, output: io.StringIO
) -> None:
    inner = "trap 'sleep 1; touch saved; exit' TERM; touch up; while true; do sleep 0.1; done"
    program = ["bash", "-c", f"bash -c {shlex.quote(inner)}; echo ended"]
    step = StepProcess(environment, tmp_path, output, program=program)
    eventually((tmp_path / "up").exists)
    step.terminate()
    assert step.wait(300)
    step.kill()
    assert (tmp_path / "saved").exists()


BAR = """
import sys
for percent in range(101):
    print(f"\\r{percent}%", end="")
print("\\n\\x1b[32mgreen\\nstill green\\x1b[39m")
"""


def test_a_bar_of_a_step_is_shown_now_and_then(
    environment: dict[str, str], tmp_path: Path, output: io.StringIO
) -> None:
    step = StepProcess(environment, tmp_path, output, program=[sys.executable, "-c", BAR], name="train")
    step.tell_nothing()
    assert exit_code(step) == 0
    green, reset = "\x1b[32m", "\x1b[0m"
    *bar, first, second = output.getvalue().splitlines()
    assert bar[-1] == "[train] 100%"
    # As many as were read at once; not each of them.
    assert len(bar) < 4
    assert (first, second) == (f"[train] {green}green{reset}", f"[train] {green}still green\x1b[39m")
