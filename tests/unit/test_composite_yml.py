"""composite/action.yml is action.yml without Docker, and its process gets what a Docker action gets."""

from __future__ import annotations

import json
import os
import runpy
import stat
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_zenml.action.github.composite import as_of_docker
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.codes import Code

ROOT = Path(__file__).parents[2]
COMPOSITE = ROOT / "composite"


@pytest.fixture(scope="module")
def composite() -> dict[str, Any]:
    return yaml.safe_load((COMPOSITE / "action.yml").read_text())


@pytest.fixture(scope="module")
def docker() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "action.yml").read_text())


def test_it_has_the_inputs_and_outputs_of_the_docker_action(composite: dict[str, Any], docker: dict[str, Any]) -> None:
    assert composite["inputs"] == docker["inputs"]
    values = {name: output.pop("value") for name, output in composite["outputs"].items()}
    assert composite["outputs"] == docker["outputs"]
    assert values == {name: f"${{{{ steps.run.outputs.{name} }}}}" for name in docker["outputs"]}


def test_it_is_as_write_py_writes_it() -> None:
    write = runpy.run_path(str(COMPOSITE / "write.py"))
    released = (COMPOSITE / "action.yml").read_text()
    # A release has the post pinned to its own tag.
    (ref,) = {line.rpartition("@")[2] for line in released.splitlines() if write["POST"] in line}
    written = write["composite"]((ROOT / "action.yml").read_text())
    assert released == written.replace(f"{write['POST']}@main", f"{write['POST']}@{ref}")


def test_nothing_of_an_input_stands_in_a_script(composite: dict[str, Any]) -> None:
    steps = composite["runs"]["steps"]
    assert [step for step in steps if "${{" in step.get("run", "")] == []
    assert all(step["shell"] == "bash" for step in steps if "run" in step)


def test_what_runs_is_watched_over_before_it_begins(composite: dict[str, Any]) -> None:
    post, run = composite["runs"]["steps"][-2:]
    told = yaml.safe_load((COMPOSITE / "post/action.yml").read_text())
    assert "/composite/post@" in post["uses"]
    assert set(post["with"]) == set(told["inputs"])
    assert (COMPOSITE / "post" / told["runs"]["post"]).exists()
    # No condition: GitHub's default for it is `always()`.
    assert "post-if" not in told["runs"]
    # The shell is replaced: a signal that it gets would never reach Python.
    assert run["run"].strip().splitlines()[-1].startswith("exec ")


def test_inputs_and_state_are_as_for_a_docker_action(tmp_path: Path) -> None:
    state = tmp_path / "state"
    workflow = Workflow({"GITHUB_STATE": str(state)}, StringIO())
    workflow.save_state("teamspace", "first")
    workflow.save_state("teamspace", "acme/vision")
    workflow.save_state("report", '{"a": "b"}\n\nüö\n')
    workflow.save_state("empty", "")
    with state.open("a") as file:
        file.write("holds<<ghadelimiter_0\n[half an en")
    inputs = {"Machine-Type": "T4", "run": "python run.py\nls", "lightning-api-key": "secret", "matrix": "null"}
    given = {"HOME": "/home", "INPUT_INPUTS": json.dumps(inputs), "LIGHTNING_ZENML_STATE": str(state)}
    assert as_of_docker(given) == {
        "HOME": "/home",
        "INPUT_MACHINE-TYPE": "T4",
        "INPUT_RUN": "python run.py\nls",
        "INPUT_LIGHTNING-API-KEY": "secret",
        "INPUT_MATRIX": "null",
        "STATE_teamspace": "acme/vision",
        "STATE_report": '{"a": "b"}\n\nüö\n',
        "STATE_empty": "",
    }


def test_a_docker_action_is_left_as_it_is(tmp_path: Path) -> None:
    given = {"INPUT_RUN": "python run.py", "STATE_holds": "[]"}
    assert as_of_docker(given) == given
    assert as_of_docker({"INPUT_INPUTS": "{}", "LIGHTNING_ZENML_STATE": str(tmp_path / "none")}) == {}
    with pytest.raises(ValueError, match="no mapping"):
        as_of_docker({"INPUT_INPUTS": "[]"})


def install(tmp_path: Path, uv: str) -> subprocess.CompletedProcess[str]:
    """Runs install.sh with a program in place of uv."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "uv").write_text(f"#!/bin/bash\n{uv}\n")
    (programs / "uv").chmod(stat.S_IRWXU)
    environment = {
        "PATH": f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(COMPOSITE / "install.sh")]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_what_is_installed_is_what_the_locks_name_by_their_hashes(tmp_path: Path) -> None:
    done = install(tmp_path, 'echo "$PWD: $*" >>"$RUNNER_TEMP/calls"; if [ "$1" = venv ]; then mkdir -p "${@: -1}"; fi')
    assert done.returncode == 0, done.stdout + done.stderr
    calls = (tmp_path / "temp/calls").read_text().splitlines()
    # Not where the repository's own settings for uv lie.
    assert all(call.startswith(f"{tmp_path}/temp/lightning-zenml: ") for call in calls)
    locks = [f"{ROOT}/requirements/{name}.txt" for name in ("runtime", "build")]
    assert calls[1].endswith(f"--require-hashes {' '.join(locks)}")
    assert calls[2].endswith(f"--no-deps --no-build-isolation {ROOT}")
    output = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    assert output["python"].endswith("/bin/python")
    assert stat.S_IMODE(Path(output["state"]).stat().st_mode) == 0o600


def test_what_can_not_be_installed_is_said(tmp_path: Path) -> None:
    done = install(tmp_path, "exit 3")
    assert done.returncode == 1
    assert "::error title=The Action can't be installed::uv finds no Python" in done.stdout
    assert done.stdout.strip().endswith(Code.INSTALL.url)


def test_the_script_can_be_read_by_the_bash_of_macos() -> None:
    # Bash 3.2 has none of these.
    text = (COMPOSITE / "install.sh").read_text()
    assert [word for word in ("declare -A", "mapfile", "readarray", "${!", "|&", "&>>", ",,}") if word in text] == []
    assert os.access(COMPOSITE / "install.sh", os.X_OK)
