"""What ZenML's DockerSettings ask to be installed, for a studio instead of an image."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenml import __version__ as zenml_version
from zenml.logger import get_logger
from zenml.utils import source_utils
from zenml.utils.pipeline_docker_image_builder import PipelineDockerImageBuilder

from lightning_zenml.codes import Code
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.launch.payload import install as installer
from lightning_zenml.launch.payload.protocol import Installer
from lightning_zenml.launch.payload.requirements.reason import explain
from lightning_zenml.launch.payload.requirements.wanted import without_credentials
from lightning_zenml.launch.requirements import refusal
from lightning_zenml.zenml_api.integrations import UnknownIntegrationError, of_integrations
from lightning_zenml.zenml_api.versions import requirement

if TYPE_CHECKING:
    from zenml.config import DockerSettings
    from zenml.models import PipelineSnapshotResponse
    from zenml.stack import Stack

logger = get_logger(__name__)

_INSTALL = 2 * 3600.0
"""Seconds that installing may take."""
_INSTEAD = {
    "apt_packages": "`sudo apt-get install --yes {}` in `custom_commands` (`commands` of the Action) installs them",
    "local_project_install_command": "put `{}` into `custom_commands` (`commands` of the Action)",
    "environment": "put the variables {} into the setting `environment` (`env` of the Action)",
    "runtime_environment": "put the variables {} into the setting `environment` (`env` of the Action)",
    "dockerfile": "what `{}` installs is not on the studio, see `requirements` and `custom_commands`",
}
"""Settings that mean nothing on a studio, and the way out."""
_WHERE = ("system", "python", "prefix", "target", "user")
"""Options of installers that say which environment is meant: it is the studio's."""
_OURS = re.compile(r"lightning[-_.]zenml\b", re.IGNORECASE)


def collect(snapshot: PipelineSnapshotResponse) -> list[DockerSettings]:
    """Collects the settings of a pipeline and of its steps, as far as they are known before it runs.

    Warns of what has no effect.

    Args:
        snapshot: compiled pipeline.
    """
    steps = (step.config.docker_settings for step in snapshot.step_configurations.values())
    settings = [snapshot.pipeline_configuration.docker_settings, *steps]
    for told in without_effect(settings):
        logger.warning("There is no image: %s", told)
    return settings


def without_effect(settings: Iterable[DockerSettings]) -> list[str]:
    """What of the settings has no effect, each with the way out.

    Args:
        settings: DockerSettings of the pipeline and of its steps.
    """
    found: dict[str, None] = {}
    for one in settings:
        for name, instead in _INSTEAD.items():
            if value := getattr(one, name, None):
                shown = value if isinstance(value, str) else " ".join(map(str, value))
                found[f"the DockerSettings' `{name}` has no effect; {instead.format(shown)}."] = None
    return list(found)


def packages(stack: Stack, settings: Iterable[DockerSettings]) -> list[str]:
    """What the stack and the integrations in the settings need; ZenML itself among it.

    Args:
        stack: ZenML stack that the pipeline runs on.
        settings: DockerSettings of the pipeline and of its steps.

    Returns:
        Requirement specifiers.
    """
    found = {*stack.requirements(), *_of_integrations(settings)}
    return [requirement(zenml_version), *sorted(found)]


def requirements(stack: Stack, settings: Iterable[DockerSettings], root: Path) -> list[str]:
    """What the user asks to be installed.

    Args:
        stack: ZenML stack that the pipeline runs on.
        settings: DockerSettings of the pipeline and of its steps.
        root: root of what travels to the studio, the source root or a folder around it.

    Returns:
        Requirement specifiers, and `-r <file>` with a file relative to the root.

    Raises:
        LaunchError: if a file isn't there or lies outside of the root, or ZenML's export of packages fails.
    """
    found: dict[str, None] = {}
    done: list[DockerSettings] = []
    for one in settings:
        # Steps have their pipeline's, unless they have their own.
        if one in done:
            continue
        done.append(one)
        found |= dict.fromkeys(_exported(stack, one))
        files = [file for file in _files(one) if file]
        found |= dict.fromkeys(f"-r {_relative(file, root)}" for file in files)
        found |= dict.fromkeys(one.requirements if isinstance(one.requirements, list) else ())
        found |= dict.fromkeys(_options(one))
    return list(found)


def preferred_installer(settings: Iterable[DockerSettings]) -> Installer:
    """What installs: pip, if any of the settings ask for it, as there is one environment.

    Args:
        settings: DockerSettings of the pipeline and of its steps.
    """
    asked = {one.python_package_installer.value for one in settings}
    return Installer.PIP if Installer.PIP in asked else Installer.UV


def install(stack: Stack, settings: Sequence[DockerSettings], root: Path) -> None:
    """Installs what the settings ask for into this environment; what is there already stays.

    Args:
        stack: ZenML stack that the pipeline runs on.
        settings: DockerSettings of the pipeline and of its steps.
        root: folder that requirements files are relative to.

    Raises:
        LaunchError: if something can't be installed.
    """
    # This is the environment that would be replicated.
    others = [one.model_copy(update={"replicate_local_python_environment": None}) for one in settings]
    wanted = [*_of_integrations(others), *requirements(stack, others, root)]
    if not wanted:
        return
    first = preferred_installer(settings)
    if installer.is_installed(installer.digest(None, wanted, root, first)):
        logger.info("What the pipeline's DockerSettings name is unchanged on this studio.")
        return
    logger.info("Installing what the pipeline's DockerSettings name: %s", without_credentials(" ".join(wanted)))
    sys.stdout.flush()
    outcome = installer.install(
        wanted, None, code=root, log=sys.stdout.buffer, environment=os.environ, timeout=_INSTALL, first=first
    )
    if outcome.exit_code is None:
        raise LaunchError(
            f"What the pipeline's DockerSettings name was not installed within {_INSTALL / 60:g} minutes.",
            code=Code.INSTALL,
        )
    if outcome.exit_code:
        # As the launch has installed it: whoever contradicts that contradicts the server.
        reason = explain(outcome.error, [requirement(zenml_version), *wanted], root)
        raise LaunchError(
            f"What the pipeline's DockerSettings name can't be installed (exit code {outcome.exit_code}). {reason}",
            code=Code.INSTALL,
        )


def _options(settings: DockerSettings) -> list[str]:
    """What the installer is told besides, as lines of requirements; but in what environment it installs."""
    options = {name: value for name, value in settings.python_package_installer_args.items() if name not in _WHERE}
    return [f"--{name}" if value is None else f"--{name}={value}" for name, value in options.items()]


def _of_integrations(settings: Iterable[DockerSettings]) -> list[str]:
    try:
        return list(of_integrations(name for one in settings for name in one.required_integrations))
    except UnknownIntegrationError as error:
        raise LaunchError(
            f"The pipeline's DockerSettings can't be met (`required_integrations`): {error}", code=Code.DOCKER_SETTINGS
        ) from error


def _files(settings: DockerSettings) -> Iterator[str | None]:
    """Files that list requirements; of a pyproject.toml, uv reads the project's dependencies."""
    if isinstance(settings.requirements, str):
        yield settings.requirements
    if not settings.pyproject_export_command:
        yield settings.pyproject_path
    nothing_said = not (settings.requirements or settings.pyproject_path or settings.replicate_local_python_environment)
    if nothing_said and settings.disable_automatic_requirements_detection is False:
        source_root = Path(source_utils.get_source_root())
        candidates = (source_root / "requirements.txt", source_root / "pyproject.toml")
        yield next((str(file) for file in candidates if file.exists()), None)


def _exported(stack: Stack, settings: DockerSettings) -> list[str]:
    """What ZenML finds out by running a command here: the packages of this environment, or of a project."""
    by_command = settings.pyproject_path if settings.pyproject_export_command else None
    if not (settings.replicate_local_python_environment or by_command):
        return []
    nothing_else: dict[str, Any] = {
        "requirements": None,
        "required_integrations": [],
        "install_stack_requirements": False,
    }
    asked = settings.model_copy(update={**nothing_else, "pyproject_path": by_command})
    try:
        exports = PipelineDockerImageBuilder.gather_requirements_files(asked, stack, log=False)
    except (RuntimeError, FileNotFoundError) as error:
        raise LaunchError(f"The requirements can't be exported: {error}", code=Code.DOCKER_SETTINGS) from error
    lines = (line.strip() for _, content, _ in exports for line in content.splitlines())
    # Neither hashes, which belong to the line before, nor options, which are for a file; and our package goes along
    # with every launch.
    found = (line.removesuffix("\\").strip() for line in lines if not line.startswith(("#", "-")))
    return [line for line in found if line and not _OURS.match(line)]


def _relative(file: str, root: Path) -> str:
    path = Path(file).resolve()
    if not path.is_relative_to(root.resolve()):
        raise LaunchError(
            f"The requirements file {file} lies outside of the source root {root}, so it doesn't reach the "
            "studio. Move it there, or run `zenml init` in a folder that holds both, and `zenml stack set` again.",
            code=Code.DOCKER_SETTINGS,
        )
    if way_out := refusal(path):
        raise LaunchError(f"The DockerSettings' requirements can't be {file}: {way_out}.", code=Code.DOCKER_SETTINGS)
    if not path.is_file():
        raise LaunchError(f"The DockerSettings name {path}, which does not exist.", code=Code.DOCKER_SETTINGS)
    return path.relative_to(root.resolve()).as_posix()
