"""A step of a workflow in its container, as GitHub's runner starts it.

Source: `ContainerActionHandler.cs`, `DockerCommandManager.cs` and `ContainerInfo.cs` of https://github.com/actions/runner.
Unlike there, the container is on the machine's own network, where the local cloud listens, and gets no Docker socket.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from localcloud.docker import IMAGE, Docker
from localcloud.runner import Step

OF_THE_CLIENT = frozenset({"PATH", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_BUILDKIT"})
"""Variables that lead the client to the engine; the container does not get them."""


@dataclass(kw_only=True)
class ContainerStep(Step):
    """One step that uses the action's image.

    Args:
        docker: the engine.
        image: built from the action's Dockerfile.
        options: further options of `docker run`.
        name: of the newest container.
    """

    docker: Docker
    image: str = IMAGE
    options: tuple[str, ...] = ()
    name: str = field(default="", init=False)

    @classmethod
    def of(cls, step: Step, docker: Docker, *options: str) -> ContainerStep:
        """The same step, in a container."""
        public = {
            one.name: getattr(step, one.name) for one in fields(step) if one.init and not one.name.startswith("_")
        }
        return cls(**public, docker=docker, options=options)

    def stop(self) -> None:
        """Stops the container with SIGTERM, and by force when that has not helped after ten seconds."""
        self.docker("stop", self.name)

    def environment(self) -> dict[str, str]:
        """The variables of the step with the container's paths, and what the client needs."""
        runner = {
            name: self._inside(value)
            for name, value in super().environment().items()
            if name in self.env or name == "CI" or name.startswith(("ACTIONS_", "GITHUB_", "RUNNER_", "INPUT_"))
        }
        temp = self.root / "temp"
        temp.mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            **self.docker.environment,
            "HOME": "/github/home",
            "RUNNER_TEMP": self._inside(str(temp)),
            **runner,
        }

    def command(self, entrypoint: str, environment: Mapping[str, str]) -> list[str]:
        """The client's command line: variables by name alone, so that no value shows in it."""
        runs = yaml.safe_load((self.action / "action.yml").read_text())["runs"]
        program = runs["entrypoint" if entrypoint == "main" else f"{entrypoint}-entrypoint"]
        self.name = f"step-{uuid.uuid4().hex[:12]}"
        command = ["docker", "run", "--name", self.name, "--workdir", "/github/workspace", "--rm"]
        command += ["--network", "host", "--entrypoint", program, *self.options]
        for name in sorted(set(environment) - OF_THE_CLIENT):
            command += ["-e", name]
        for outside, inside in self._mounts().items():
            command += ["-v", f"{outside}:{inside}"]
        return [*command, self.image]

    def _mounts(self) -> dict[Path, str]:
        return {
            self.root / "temp": "/github/runner_temp",
            self.root / "home": "/github/home",
            self.root / "event.json": "/github/workflow/event.json",
            self.root / "file_commands": "/github/file_commands",
            self.workspace: "/github/workspace",
        }

    def _inside(self, value: str) -> str:
        """Rewrites a value that is a path below a mount, and nothing else."""
        for outside, inside in self._mounts().items():
            if value == str(outside) or value.startswith(f"{outside}/"):
                return inside + value.removeprefix(str(outside))
        return value
