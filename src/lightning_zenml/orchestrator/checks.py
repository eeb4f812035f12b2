"""What is checked before anything is started, all of it at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zenml.exceptions import SettingsResolvingError
from zenml.logger import get_logger

from lightning_zenml import codes
from lightning_zenml.codes import Code, marked
from lightning_zenml.launch.payload.variables import SETTINGS
from lightning_zenml.launch.studio.names import of_pool
from lightning_zenml.orchestrator import zenml_internals
from lightning_zenml.orchestrator.refusal import refuse
from lightning_zenml.orchestrator.settings import LightningOrchestratorSettings
from lightning_zenml.settings import CREDENTIALS, studio_problems

if TYPE_CHECKING:
    from zenml.stack import Stack


_OF_THE_LAUNCH = ("main_studio_name", "studio_pool", "keep_studio", "cloud", "timeout")
logger = get_logger(__name__)


def check_stack(stack: Stack) -> tuple[bool, str]:
    """Checks what is known before a pipeline is submitted, for ZenML's `StackValidator`.

    Args:
        stack: ZenML stack with our orchestrator in it.

    Returns:
        Whether the stack will do, and all that is wrong with it in one message.

    Raises:
        UnsuitableZenMLError: if the ZenML that is installed lacks what is relied on.
    """
    if unsuitable := zenml_internals.problem():
        refuse(unsuitable)
    if notice := zenml_internals.notice():
        logger.info(notice)
    problems = _stack_problems(stack)
    try:
        given = LightningOrchestratorSettings.model_validate(settings_from_environment())
    except (SettingsResolvingError, ValueError) as error:
        problems.append(codes.of(error, Code.SETTINGS)[0].removesuffix("."))
        given = LightningOrchestratorSettings()
    # Alone it's no reason to refuse: the pipeline's settings, not known here, may hold it.
    if problems and not (given.api_key or stack.orchestrator.config.api_key or os.environ.get("LIGHTNING_API_KEY")):
        problems.append("there is no Lightning API key, unless the pipeline's settings hold one: set LIGHTNING_API_KEY")
    if not problems:
        return True, ""
    told = f"The pipeline can't run on Lightning AI, and nothing was started: {'; '.join(problems)}."
    return False, marked(told, Code.STACK)


def settings_from_environment() -> Mapping[str, Any]:
    """Reads the settings that lie over all others: the JSON in the variable `LIGHTNING_ZENML_SETTINGS`.

    Returns:
        The settings, unchecked.

    Raises:
        SettingsResolvingError: if the variable holds anything but a JSON object.
    """
    text = os.environ.get(SETTINGS) or "{}"
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise SettingsResolvingError(
            marked(f"The variable {SETTINGS} isn't valid JSON: {error}.", Code.SETTINGS)
        ) from None
    if not isinstance(settings, dict):
        raise SettingsResolvingError(marked(f"The variable {SETTINGS} must hold a JSON object.", Code.SETTINGS))
    return settings


def warn_of_the_ineffective(settings: LightningOrchestratorSettings) -> None:
    """Tells of a pipeline's settings that come too late where its command runs in the studio already.

    Args:
        settings: settings of the pipeline.
    """
    given = settings_from_environment()
    late = [name for name in _OF_THE_LAUNCH if name in settings.model_fields_set and name not in given]
    if late:
        logger.warning(
            "The pipeline's settings %s have no effect: its studio is up already. The action's inputs decide on it.",
            ", ".join(f"`{name}`" for name in late),
        )


def studio_names(settings: LightningOrchestratorSettings) -> tuple[str, ...]:
    """Finds the names of the studios on which a pipeline may run; none where it gets a fresh one.

    Args:
        settings: settings of the pipeline.

    Raises:
        SettingsResolvingError: if the settings of the studio don't go together.
    """
    name, size = settings.main_studio_name, settings.studio_pool
    problems = studio_problems(name, settings.keep_studio, studio_pool=size, keep_warm=settings.keep_warm)
    if told := [f"The setting `{setting}` {problem}." for setting, problem in problems]:
        raise SettingsResolvingError(marked(" ".join(told), Code.SETTINGS))
    if name is None:
        return ()
    return of_pool(name, size) if size else (name,)


def settings_to_pass_on() -> dict[str, str]:
    """The variable `LIGHTNING_ZENML_SETTINGS` as a program elsewhere gets it: without credentials; none if it is empty.

    Raises:
        SettingsResolvingError: if the variable holds anything but a JSON object.
    """
    settings = {name: value for name, value in settings_from_environment().items() if name not in CREDENTIALS}
    return {SETTINGS: json.dumps(settings)} if settings else {}


def _stack_problems(stack: Stack) -> list[str]:
    problems = []
    if stack.artifact_store.config.is_local:
        problems.append(
            f"the artifact store `{stack.artifact_store.name}` is local: steps in a studio can't read or write "
            "it. Use a remote one (s3, gcp, azure)"
        )
    problems += [
        f"the {component.type.value} `{component.name}` keeps files at `{component.local_path}` on this "
        "machine, where a studio can't reach them"
        for component in stack.all_components
        if component.local_path is not None and component is not stack.artifact_store
    ]
    return problems
