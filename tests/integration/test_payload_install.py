"""What the payload installs, how long it may take, and when it is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_api import eventually
from lightning_zenml.launch.payload import install
from payload_studio import Studio, is_running

BUILD_THAT_HANGS = "sleep 300 & echo $! > ../build; wait"


def test_the_timeout_covers_installing(studio: Studio) -> None:
    studio.replace_uv(BUILD_THAT_HANGS)
    studio.start(packages=["a-package"], timeout=5)
    failure = studio.finish()["failure"]
    assert failure["phase"] == "installing"
    assert "timeout" in failure["message"]
    build = int((studio.launch / "build").read_text())
    eventually(lambda: not is_running(build))


def test_a_stop_ends_an_install_with_its_builds(studio: Studio) -> None:
    studio.replace_uv(BUILD_THAT_HANGS)
    studio.start(packages=["a-package"])
    build = eventually(lambda: (studio.launch / "build").exists() and (studio.launch / "build").read_text())
    assert studio.call("stop")["stopping"]
    assert studio.finish()["stopped"]
    eventually(lambda: not is_running(int(build)))


@pytest.mark.parametrize(
    ("line", "again"),
    [
        ("-e .", True),
        ("--editable=./pkg", True),
        (".", True),
        ("./pkg[gpu]", True),
        ("pkg/", True),
        ("pkg @ file:./pkg", True),
        ("dist/pkg-1.whl", True),
        ("six==1.17 ; python_version > '3'", False),
        ("six @ https://files.example/six-1.17.whl", False),
        ("-e git+https://git.example/six.git#egg=six", False),
        ("# as in ./setup.py", False),
    ],
)
def test_what_comes_from_the_repository_is_installed_for_each_launch(tmp_path: Path, line: str, again: bool) -> None:
    codes = [tmp_path / launch / "code" for launch in ("l-1", "l-2")]
    for code in codes:
        code.mkdir(parents=True)
        (code / "requirements.txt").write_text(f"numpy\n  {line}\n")
    one, other = (install.digest(tmp_path / "wheel", ["-r requirements.txt"], code) for code in codes)
    assert (one != other) is again


def test_the_second_launch_runs_its_own_code(studio: Studio) -> None:
    """uv is ours here; what it would be asked is what counts."""
    studio.replace_uv("echo installed from $PWD")
    (studio.scratch / "repository").mkdir()
    (studio.scratch / "repository/requirements.txt").write_text("-e .\n")
    for launch_id in ("l-1", "l-2"):
        studio.start(launch_id, requirements=["-r requirements.txt"])
        assert studio.finish(launch_id)["exit_code"] == 0
        assert f"installed from {studio.root}/launches/{launch_id}/code" in studio.log


def test_what_has_not_changed_is_not_installed_again(studio: Studio) -> None:
    studio.replace_uv("echo installed from $PWD")
    for launch_id in ("l-1", "l-2"):
        studio.start(launch_id, packages=["six"])
        assert studio.finish(launch_id)["exit_code"] == 0
    assert studio.log.count("installed from") == 1
