"""The environment on the runner, made by a `uv` that notes what it is asked for."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from lightning_zenml.action.throwaway import InstallError, Throwaway

UV = """#!/bin/sh
while [ $# -gt 0 ]; do
  if [ "$1" = --constraint ]; then cp "$2" "{noted}"; echo x >> "{noted}.tries"; constrained=1; fi
  if [ "$1" = venv ]; then exit 0; fi
  shift
done
echo installing
{then}
"""


locked = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="there is no lock for this machine"
)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def noted(tmp_path: Path) -> Path:
    return tmp_path / "noted"


def throwaway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str], then: str) -> Throwaway:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "uv").write_text(UV.format(noted=tmp_path / "noted", then=then))
    (programs / "uv").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    return Throwaway(tmp_path / "python", {}, said.append)


@locked
def test_it_is_made_by_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str], noted: Path) -> None:
    (tmp_path / "requirements.txt").write_text("requests==2.31.0\n")
    throwaway(tmp_path, monkeypatch, said, "").install(["zenml==0.98.0"], ["requirements.txt"], tmp_path)
    names = {line.partition("==")[0] for line in noted.read_text().splitlines()}
    assert "backoff" in names
    # What the user decides.
    assert "requests" not in names
    assert said == ["installing\n"]


@locked
def test_what_opposes_the_lock_leaves_it_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str], noted: Path
) -> None:
    then = 'if [ "$constrained" ] && grep -q ^backoff= "{}"; then echo "error: No solution found: backoff"; exit 1; fi'
    throwaway(tmp_path, monkeypatch, said, then.format(noted)).install(["zenml==0.98.0"], [], tmp_path)
    assert "backoff" not in noted.read_text()
    assert noted.with_name("noted.tries").read_text() == "x\n" * 2
    assert said == ["installing\n"] * 2


def test_why_it_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    then = "echo error: disk full; exit 2"
    with pytest.raises(InstallError, match=r"exit code 2.*disk full"):
        throwaway(tmp_path, monkeypatch, said, then).install(["zenml==0.98.0"], [], tmp_path)
    assert said == ["installing\n", "error: disk full\n"]


def test_no_key_to_an_index_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    then = "echo from https://ada:s3cret@index/; echo error: no https://t0ken@host/x.git; exit 2"
    with pytest.raises(InstallError, match=r"no https://\*\*\*@host/x.git"):
        throwaway(tmp_path, monkeypatch, said, then).install(["six"], [], tmp_path)
    assert said == ["installing\n", "from https://***@index/\n", "error: no https://***@host/x.git\n"]


def test_an_install_obeys_the_timeout_of_the_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    with pytest.raises(InstallError, match="longer than its timeout of 0"):
        throwaway(tmp_path, monkeypatch, said, "exec sleep 60").install(["six"], [], tmp_path, timeout=0.3)


def test_the_runner_s_tokens_are_not_passed_on(tmp_path: Path) -> None:
    secrets = (
        "ACTIONS_RUNTIME_TOKEN",
        "ACTIONS_RESULTS_URL",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "GITHUB_TOKEN",
        "INPUT_X",
    )
    variables = Throwaway(tmp_path, {"TZ": "UTC", **dict.fromkeys(secrets, "c4n4ry")}, lambda text: None).variables()
    assert variables["TZ"] == "UTC"
    assert "c4n4ry" not in variables.values()
