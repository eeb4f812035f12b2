"""Copies of the fork server as real processes: nothing tells them from fresh ones, and nothing is left of them."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lightning_api import eventually
from lightning_zenml.orchestrator.steps.forkserver import ForkServer
from lightning_zenml.orchestrator.steps.process import NotForkedError, StepProcess, StepProcesses
from localcloud.stack import Stack, client_environment

PROBE = '''
import atexit, gc, json, logging, multiprocessing, os, random, signal, stat, subprocess, sys, threading, time

from zenml.entrypoints.base_entrypoint_configuration import BaseEntrypointConfiguration

times_run = 0


class Probe(BaseEntrypointConfiguration):
    """In a step's place: Python code that comes as an argument."""

    @classmethod
    def get_entrypoint_options(cls):
        return {"code": True}

    def run(self):
        global times_run
        times_run += 1
        exec(self.entrypoint_args["code"], globals())


def tell(**facts):
    print("FACTS" + json.dumps(facts), flush=True)


def facts():
    files = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            files[number] = stat.S_IFMT(os.fstat(int(number)).st_mode)
        except OSError:
            pass
    return {
        "variables": dict(os.environ),
        "folder": os.getcwd(),
        "arguments": sys.argv[1:],
        "paths": sys.path,
        "files": files,
        "leads its group": os.getpgid(0) == os.getpid(),
        "session": os.getsid(0),
        "umask": open("/proc/self/status").read().split("Umask:")[1].split()[0],
        "handlers": [str(signal.getsignal(number)) for number in sorted(signal.Signals)],
        "signals": [line for line in open("/proc/self/status") if line.startswith(("SigBlk", "SigIgn", "SigCgt"))],
        "threads": len(os.listdir("/proc/self/task")),
        "main thread": threading.current_thread() is threading.main_thread(),
        "process": multiprocessing.current_process().name,
        "stdin": sys.stdin.read(),
        "stdout": [sys.stdout.isatty(), sys.stdout.encoding, sys.stdout.errors, sys.stdout.write_through],
        "stderr": [sys.stderr.isatty(), sys.stderr.encoding, sys.stderr.errors, sys.stderr.write_through],
        "flags": str(sys.flags),
        "garbage": [gc.isenabled(), gc.get_threshold()],
        "loggers": [str(handler) for handler in logging.getLogger().handlers],
        "times run": times_run,
    }
'''
FRESH = "lightning_zenml.orchestrator.steps.process_program"
COPY = "lightning_zenml.orchestrator.steps.forkserver_program"


@dataclass
class Studio:
    """A folder with the probe, and the variables of steps in it."""

    folder: Path
    environment: dict[str, str]
    output: io.StringIO = field(default_factory=io.StringIO)

    def server(self, *modules: str) -> ForkServer:
        return ForkServer(self.environment, self.folder, modules, self.output)

    def begin(self, forks: ForkServer | None, code: str, **variables: str) -> StepProcess:
        processes = StepProcesses(self.environment, self.folder, self.output, forks=forks)
        return processes.begin("probe", ["--entrypoint_config_source", "probe.Probe", "--code", code], variables)

    def run(self, forks: ForkServer | None, code: str, **variables: str) -> int:
        process = self.begin(forks, code, **variables)
        code_ = eventually(lambda: (process.poll(),) if process.poll() is not None else None, "the end")[0]
        assert code_ is not None
        return code_

    def facts(self, forks: ForkServer | None, code: str, **variables: str) -> Any:
        before = len(self.output.getvalue())
        assert self.run(forks, code, **variables) == 0, self.output.getvalue()
        return json.loads(self.output.getvalue()[before:].partition("FACTS")[2].splitlines()[0])


def make_studio(stack: Stack, folder: Path, **variables: str) -> Studio:
    (folder / "probe.py").write_text(PROBE)
    (folder / "sums.py").write_text("def double(number): return 2 * number\n")
    environment = client_environment(
        stack,
        LIGHTNING_ZENML_CODE=str(folder),
        ZENML_CUSTOM_SOURCE_ROOT=str(folder),
        PYTHONPATH=str(folder),
        PYTHONUNBUFFERED="1",
        **variables,
    )
    return Studio(folder, environment)


@pytest.fixture
def studio(zenml_stack: Stack, tmp_path: Path) -> Studio:
    return make_studio(zenml_stack, tmp_path)


@pytest.fixture(scope="module")
def shared(zenml_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Studio, ForkServer]]:
    """One for all tests that leave it as it is: its imports take their time."""
    studio = make_studio(zenml_stack, tmp_path_factory.mktemp("shared"))
    forks = studio.server("zenml.integrations.s3.artifact_stores.s3_artifact_store")
    yield studio, forks
    forks.close()


def kind(studio: Studio, forks: ForkServer, **variables: str) -> str:
    """Name of the program that runs a step."""
    told = studio.facts(forks, 'tell(name=sys.modules["__main__"].__spec__.name)', **variables)["name"]
    assert isinstance(told, str)
    return told


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_nothing_tells_a_copy_from_a_fresh_process(shared: tuple[Studio, ForkServer]) -> None:
    studio, forks = shared
    copy = studio.facts(forks, "tell(**facts())", GREETING="hello")
    fresh = studio.facts(None, "tell(**facts())", GREETING="hello")

    assert kind(studio, forks) == COPY
    assert copy["variables"]["GREETING"] == "hello"
    # A fresh process has connected to ZenML already.
    assert copy.pop("files") == {number: kind for number, kind in fresh.pop("files").items() if kind != stat.S_IFSOCK}
    assert copy == fresh


def test_copies_share_no_state(shared: tuple[Studio, ForkServer]) -> None:
    studio, forks = shared
    numbers = [studio.facts(forks, "tell(n=random.random(), t=times_run)") for _ in range(2)]

    assert numbers[0]["n"] != numbers[1]["n"]
    assert [one["t"] for one in numbers] == [1, 1]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("raise ValueError('no such luck')", 1),
        ("threading.Thread(target=lambda: (time.sleep(0.1), os._exit(5))).start()", 5),
    ],
)
def test_how_a_copy_ends_is_seen(shared: tuple[Studio, ForkServer], code: str, expected: int) -> None:
    studio, forks = shared
    assert studio.run(forks, code) == expected


def test_an_error_is_told_and_what_is_to_be_done_at_exit_is_done(shared: tuple[Studio, ForkServer]) -> None:
    studio, forks = shared
    studio.run(forks, "atexit.register(print, 'tidied up'); raise ValueError('it went wrong')")
    told = studio.output.getvalue()
    assert told.index("[probe] ValueError: it went wrong") < told.index("[probe] tidied up")


def test_much_output_comes_whole_and_in_order(shared: tuple[Studio, ForkServer]) -> None:
    studio, forks = shared
    code = "[print(f'line {n} ' + 100 * 'x', file=(sys.stdout, sys.stderr)[n % 2]) for n in range(20_000)]"
    assert studio.run(forks, code) == 0
    lines = [line.split()[2] for line in studio.output.getvalue().splitlines() if line.startswith("[probe] line ")]
    assert lines == [str(number) for number in range(20_000)]


def test_many_variables_and_odd_ones_reach_a_copy(shared: tuple[Studio, ForkServer]) -> None:
    studio, forks = shared
    many = {f"NUMBER_{number}": 1000 * "x" for number in range(300)}
    odd = os.fsdecode(b"\xff caf\xc3\xa9\n\"'")
    told = studio.facts(
        forks, "tell(odd=repr(os.environb[b'ODD']), all=len(os.environ['NUMBER_299']))", ODD=odd, **many
    )
    assert told == {"odd": repr(os.fsencode(odd)), "all": 1000}


@pytest.mark.parametrize(("name", "value"), [("ZENML_LOGGING_VERBOSITY", "WARN"), ("OMP_NUM_THREADS", "1")])
def test_a_variable_that_is_read_at_the_start_is_read_by_a_fresh_process(
    shared: tuple[Studio, ForkServer], name: str, value: str
) -> None:
    studio, forks = shared
    told = studio.facts(
        forks, f'tell(name=sys.modules["__main__"].__spec__.name, value=os.environ["{name}"])', **{name: value}
    )
    assert told == {"name": FRESH, "value": value}
    assert kind(studio, forks, LEARNING_RATE="0.1") == COPY


def test_a_run_of_another_token_is_no_reason_for_a_fresh_process(zenml_stack: Stack, tmp_path: Path) -> None:
    # As where the fork server is started before the controller has the run's own token, which urllib looks through.
    studio = make_studio(zenml_stack, tmp_path, ZENML_STORE_API_TOKEN="the launch's", COLOR_OF_ALL="red")
    (tmp_path / "looks.py").write_text(
        "import os\nfor name, value in os.environ.items(): pass\ndict(os.environ)\n{**os.environ}\nos.environ.copy()\n"
    )
    (tmp_path / "picks.py").write_text(
        "import os\nfor name in os.environ.keys():\n    if name == 'ZENML_STORE_API_TOKEN': os.environ[name]\n"
    )
    (tmp_path / "reads.py").write_text("import os\nos.environ.get('COLOR_OF_ALL')\nos.environ['SET_HERE'] = '3'\n")
    (tmp_path / "zenml_like.py").write_text(
        "import os\n__name__ = 'zenml.like'\nfor name, value in os.environ.items(): pass\n"
    )
    studio.environment["ZENML_STORE_API_KEY"] = zenml_stack.zenml_api_key
    forks = studio.server("looks", "reads")
    assert kind(studio, forks, ZENML_STORE_API_TOKEN="the run's", SET_HERE="3") == COPY
    assert kind(studio, forks, SET_HERE="4") == COPY
    assert kind(studio, forks, COLOR_OF_ALL="blue") == FRESH
    forks.close()
    for module in ("zenml_like", "picks"):
        forks = studio.server(module)
        assert kind(studio, forks, ZENML_STORE_API_TOKEN="the run's") == FRESH
        forks.close()


def test_a_signal_reaches_the_children_of_a_copy_and_no_other_copy(shared: tuple[Studio, ForkServer]) -> None:
    studio, forks = shared
    code = "child = subprocess.Popen(['sleep', '600']); print('child', child.pid, flush=True); child.wait()"
    ended, other = (studio.begin(forks, code) for _ in range(2))
    eventually(lambda: studio.output.getvalue().count("[probe] child ") == 2, "both children")
    ended.terminate()
    assert ended.wait(300)
    assert ended.poll() is not None
    assert other.poll() is None
    other.kill()
    assert other.wait(300)
    assert other.poll() == -signal.SIGKILL


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_multiprocessing_works_in_a_copy(shared: tuple[Studio, ForkServer], method: str) -> None:
    studio, forks = shared
    code = f"import sums; pool = multiprocessing.get_context('{method}').Pool(2); tell(d=pool.map(sums.double, [1, 2]))"
    assert studio.facts(forks, code) == {"d": [2, 4]}


def test_copies_outlive_the_fork_server_and_the_next_step_is_fresh(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    forks = studio.server()
    with caplog.at_level(logging.DEBUG, logger="lightning_zenml"):
        under_way = studio.begin(forks, "while not os.path.exists('go'): time.sleep(0.05)\nsys.exit(7)")
        assert forks._process is not None
        forks._process._signal(signal.SIGKILL)
        assert forks._process.wait(300)
        assert studio.run(forks, "sys.exit(8)") == 8
    (studio.folder / "go").touch()
    assert eventually(under_way.poll, "the end") == 7
    assert "the fork server is out" in caplog.text
    forks.close()


def test_modules_of_the_users_are_there_and_one_that_fails_is_named(studio: Studio) -> None:
    (studio.folder / "model.py").write_text("import os\nloaded_by = os.getpid()\n")
    (studio.folder / "broken.py").write_text("raise ValueError('not today')\n")
    forks = studio.server("model", "broken", "no_such_module")

    told = studio.facts(forks, "import model; tell(ahead=model.loaded_by != os.getpid())")
    forks.close()

    assert told == {"ahead": True}
    assert "[preload] `broken` isn't imported ahead of the steps: ValueError: not today" in studio.output.getvalue()
    assert "`no_such_module` isn't imported ahead" in studio.output.getvalue()


def test_no_copy_is_made_of_a_process_with_threads(studio: Studio) -> None:
    (studio.folder / "busy.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    forks = studio.server("busy")

    with pytest.raises(NotForkedError, match="its imports have started threads: python"):
        forks.fork()


def test_what_is_installed_meanwhile_is_seen_by_a_fresh_process(studio: Studio) -> None:
    packages = studio.folder / "site-packages"
    packages.mkdir()
    studio.environment["PYTHONPATH"] += f":{packages}"
    forks = studio.server()

    assert kind(studio, forks) == COPY
    (packages / "new.py").touch()
    assert kind(studio, forks) == FRESH
    forks.close()


CONTROLLER = """
import sys, time
from pathlib import Path
from lightning_zenml.orchestrator.steps.forkserver import ForkServer
from lightning_zenml.orchestrator.steps.process import StepProcess

forks = ForkServer(dict(__import__("os").environ), Path.cwd(), (), sys.stdout)
waiting = StepProcess(forks._environment, Path.cwd(), sys.stdout, forks=forks)
print(forks._process._process.pid, waiting._process.pid, flush=True)
time.sleep(600)
"""


def test_a_killed_controller_leaves_nothing_that_waits(studio: Studio) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CONTROLLER], cwd=studio.folder, env=studio.environment, stdout=subprocess.PIPE, text=True
    ) as controller:
        assert controller.stdout is not None
        waiting = [int(pid) for pid in controller.stdout.readline().split()]
        assert all(map(is_alive, waiting))
        controller.kill()
        controller.stdout.read()
    eventually(lambda: not any(map(is_alive, waiting)), "the end of all that waits")


def test_a_closed_fork_server_is_gone_and_makes_no_more_copies(studio: Studio) -> None:
    forks = studio.server()
    forks.start()
    assert forks._process is not None
    forks.close()
    assert forks._process.poll() == -signal.SIGKILL
    with pytest.raises(NotForkedError):
        forks.fork()


def test_closing_does_not_wait_for_imports_that_hang(studio: Studio) -> None:
    (studio.folder / "hanging.py").write_text(
        "import pathlib, threading\npathlib.Path('hangs').touch()\nthreading.Event().wait()\n"
    )
    forks = studio.server("hanging")
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(forks.fork)
        eventually((studio.folder / "hangs").exists, "the import")
        forks.close()
        with pytest.raises(NotForkedError):
            waiting.result()


def test_imports_ahead_connect_to_nothing() -> None:
    code = """
import os
from lightning_zenml.orchestrator.steps.process_program import import_zenml
import_zenml()
import zenml.integrations.s3.artifact_stores.s3_artifact_store
from zenml.client import Client
from zenml.config.global_config import GlobalConfiguration
assert (Client._global_client, GlobalConfiguration.get_instance()) == (None, None)
assert len(os.listdir("/proc/self/task")) == 1
assert not [file for file in os.listdir("/proc/self/fd") if "socket:" in os.path.realpath(f"/proc/self/fd/{file}")]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
