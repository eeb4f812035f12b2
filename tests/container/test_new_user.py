"""README followed to the letter, from an empty folder to a link in the pull request."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

import workflow_runs
from lightning_zenml.launch import wheel
from localcloud.docker import Docker
from localcloud.github import GitHub
from localcloud.lightning import LightningCloud
from localcloud.s3 import S3, s3_server
from localcloud.zenml import ZenML, zenml_server
from workflow_runs import Repository

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
QUICKSTART = ROOT / "examples/quickstart"


class NewUser:
    """At a machine on which nothing is set up yet, in a shell with an empty virtual environment.

    Args:
        folder: for home, virtual environment, and our wheel, which no index serves here.
        zenml: the server whose administrator this is.
    """

    def __init__(self, folder: Path, zenml: ZenML) -> None:
        self._zenml = zenml
        virtual_environment, home, self._work = (folder / name for name in ("venv", "home", "work"))
        for path in (home, self._work, folder / "index"):
            path.mkdir()
        subprocess.run([sys.executable, "-m", "venv", virtual_environment], check=True)
        wheel.repack(folder / "index")
        locked = re.sub(r"\s*\\\n\s*--hash=\S+", "", (ROOT / "requirements/dev.txt").read_text())
        (folder / "constraints.txt").write_text(locked)
        foreign = ("ZENML_", "LIGHTNING_", "GITHUB_", "AWS_", "XDG_")
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
            "PATH": f"{virtual_environment / 'bin'}:{os.environ['PATH']}",
            "HOME": str(home),
            "PIP_FIND_LINKS": str(folder / "index"),
            "PIP_CONSTRAINT": str(folder / "constraints.txt"),
            "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache/pip")),
            # No wrapped lines; no browser.
            "COLUMNS": "500",
            "BROWSER": "true",
        }

    def type(self, command: str) -> str:
        """Types the command, and `y` where it asks; returns what is shown. It succeeds."""
        shown = ""
        with subprocess.Popen(
            command,
            shell=True,
            cwd=self._work,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            # One that asks nothing may have ended by now.
            with suppress(BrokenPipeError), process.stdin as keyboard:
                keyboard.write("y\n")
            for line in process.stdout:
                shown += line
                self._allow_device(line)
        assert process.returncode == 0, f"{command}\n{shown}"
        return shown

    def _allow_device(self, line: str) -> None:
        """Opens the page that a web login shows, and confirms there."""
        if match := re.search(r"/devices/verify\?device_id=([\w-]+)&user_code=(\w+)", line):
            device, code = match.groups()
            self._zenml.request("PUT", f"devices/{device}/verify", {"user_code": code, "trusted_device": True})


def commands_of_set_up(zenml: ZenML, s3: S3, teamspace: str) -> list[str]:
    """What README has a user type, with the user's own values."""
    block = re.search(r"```sh\n(.*?)```", README.partition("## Set up")[2], re.DOTALL)
    assert block is not None
    text = textwrap.dedent(block[1])
    own = {
        "https://zenml.example.com": zenml.url,
        "--aws_access_key_id=...": f"--aws_access_key_id={s3.key}",
        "--aws_secret_access_key=...": f"--aws_secret_access_key={s3.secret}",
        # No S3 of Amazon's: ZenML has to be told where it is.
        "s3://my-bucket": f"s3://{s3.bucket} --client_kwargs="
        + shlex.quote(f'{{"endpoint_url": "{s3.url}", "region_name": "us-east-1"}}'),
        "owner/name": teamspace,
    }
    for placeholder, value in own.items():
        assert placeholder in text
        text = text.replace(placeholder, value)
    return text.splitlines()


def first_workflow() -> str:
    """The workflow of README's first screen, with the action of this tree."""
    block = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert block is not None
    assert "uses: org/lightning-zenml-action@v1" in block[1]
    return block[1].replace("uses: org/lightning-zenml-action@v1", "uses: ./")


@pytest.mark.slow
def test_from_nothing_to_a_link_in_the_pull_request(docker: Docker, tmp_path: Path) -> None:
    with (
        zenml_server(tmp_path / "zenml") as zenml,
        s3_server(tmp_path) as s3,
        LightningCloud(tmp_path / "lightning") as cloud,
        GitHub() as github,
    ):
        teamspace = f"{cloud.organization}/{cloud.teamspace}"
        user = NewUser(tmp_path, zenml)
        for command in commands_of_set_up(zenml, s3, teamspace):
            shown = user.type(command)
        (key,) = set(re.findall(r"ZENKEY_[\w=+/-]+", shown))
        workflow = ".github/workflows/train.yml"
        repository = Repository(
            files={path.name: path.read_text() for path in QUICKSTART.iterdir() if path.is_file()}
            | {workflow: first_workflow()},
            secrets={
                "LIGHTNING_USER_ID": cloud.user_id,
                "LIGHTNING_API_KEY": cloud.api_key,
                "ZENML_STORE_API_KEY": key,
            },
            variables={"LIGHTNING_TEAMSPACE": teamspace, "ZENML_STORE_URL": zenml.url},
            env={"LIGHTNING_CLOUD_URL": cloud.url},
        )
        run = workflow_runs.run(
            repository, workflow, event_name="pull_request", docker=docker, github=github, folder=tmp_path / "work"
        )
        (comment,) = run.comments
        assert "completed" in comment
        (record,) = zenml.request("GET", "runs?hydrate=true")["items"]
        assert record["body"]["status"] == "completed"
        assert record["metadata"]["run_metadata"]["orchestrator_url"] in comment
        assert "accuracy" in comment
        assert not cloud.running()
        assert cloud.refused == []
