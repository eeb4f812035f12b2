"""All that can be checked of services and inputs: where one check fails, what doesn't depend on it is checked, too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lightning_zenml.action.checks.refusal import InputError, Refusals, RefusedError
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.handover import Handover
from lightning_zenml.action.inputs import Inputs
from lightning_zenml.action.log import Log
from lightning_zenml.codes import Code
from lightning_zenml.launch import requirements
from lightning_zenml.launch.errors import LaunchError, TeamspaceError
from lightning_zenml.launch.lightning.client import Credentials, Lightning
from lightning_zenml.launch.lightning.machines import Catalog, doubts
from lightning_zenml.launch.lightning.studio import Studio
from lightning_zenml.zenml_api.models import Stack, Teamspace
from lightning_zenml.zenml_api.server import ZenMLServer
from lightning_zenml.zenml_api.versions import requirement

_OF_LIGHTNING = tuple(f"lightning-{name}" for name in ("user-id", "api-key", "teamspace", "username", "org"))


def connect(inputs: Inputs, teamspace: Teamspace) -> Lightning:
    """Connects to Lightning by the inputs; the teamspace may also come from the stack's orchestrator.

    Args:
        inputs: the step's inputs.
        teamspace: what the stack's orchestrator says of the teamspace, where the inputs are silent.

    Raises:
        LaunchError: if Lightning refuses the key, has no such teamspace, or can't be reached.
    """
    return Lightning.connect(
        Credentials(
            user_id=inputs.lightning_user_id,
            api_key=inputs.lightning_api_key,
            teamspace=inputs.lightning_teamspace or teamspace.name,
            username=inputs.lightning_username or teamspace.username,
            organization=inputs.lightning_org or teamspace.organization,
        )
    )


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the checks have found.

    Args:
        lightning: the teamspace.
        stack_id: id of the ZenML stack.
        project_id: id of the ZenML project.
        packages: requirement specifiers of what every client of the server needs installed.
        integrations: names of ZenML integrations whose requirements clients of the stack need besides.
    """

    lightning: Lightning
    stack_id: str
    project_id: str
    packages: tuple[str, ...]
    integrations: tuple[str, ...]


class Checks:
    """Makes them.

    Args:
        inputs: the step's inputs; one that is refused is as if not given.
        root: folder of the checked-out repository.
        zenml: the ZenML server.
        workflow: the runner, for warnings.
        handover: what post is told.
        log: the step's log, which tells what is found.
        refusals: what is already known to be wrong.

    Attributes:
        refusals: those so far.
    """

    def __init__(
        self,
        inputs: Inputs,
        root: Path,
        *,
        zenml: ZenMLServer,
        workflow: Workflow,
        handover: Handover,
        log: Log,
        refusals: Refusals,
    ) -> None:
        self._inputs = inputs
        self._root = root
        self._zenml = zenml
        self._workflow = workflow
        self._handover = handover
        self._log = log
        self.refusals = refusals
        self._lightning: Lightning | None = None

    def carry_out(self) -> Services | None:
        """Asks the services and looks at the inputs that go with them; None where one of them refuses."""
        inputs, refusals, zenml = self._inputs, self.refusals, self._zenml
        info = refusals.of(zenml.info) if inputs.zenml_store_url else None
        if info and info.notice:
            self._workflow.notice(info.notice, Code.ZENML_UNTESTED)
        stack, project = None, None
        if info and inputs.zenml_store_api_key:
            stack = None if refusals.has_input("stack") else refusals.of(lambda: zenml.stack(inputs.stack))
            project = None if refusals.has_input("project") else refusals.of(lambda: zenml.project(inputs.project))
        if info and stack and project:
            at = f"ZenML {info.version} at {inputs.zenml_store_url}"
            self._log.line(f"{at}, stack {stack.name}, project {project.name}")
        lightning = self._lightning = self._connected(stack)
        if lightning:
            teamspace = f"{lightning.owner}/{lightning.teamspace}"
            self._handover.note_teamspace(teamspace)
            self._log.line(f"Lightning AI teamspace {teamspace}")
        self._look_at_repository()
        if not (info and stack and project and lightning):
            return None
        return Services(
            lightning=lightning,
            stack_id=stack.id,
            project_id=project.id,
            packages=(requirement(info.version),),
            integrations=stack.integrations,
        )

    def _connected(self, stack: Stack | None) -> Lightning | None:
        """The teamspace, which the stack may have to name; None where it can't be had."""
        inputs = self._inputs
        if not inputs.lightning_api_key or self.refusals.has_input(*_OF_LIGHTNING):
            return None
        if stack or inputs.lightning_teamspace:
            return self.refusals.of(lambda: connect(inputs, stack.teamspace if stack else Teamspace()))
        try:
            return connect(inputs, Teamspace())
        except TeamspaceError:
            # The stack would have told.
            return None
        except LaunchError as error:
            self.refusals.add(error)
            return None

    def _look_at_machines(self) -> None:
        """Only where something else is refused: else whoever starts the studio looks at them in a moment."""
        lightning, names = self._lightning, self._inputs.machine_type
        if lightning is None:
            for doubt in doubts(names):
                self.refusals.add(InputError("machine-type", f"may be wrong: {doubt}", code=Code.INPUT_IN_DOUBT))
            return
        name, cloud = self._inputs.studio_name, self._inputs.settings.get("cloud")

        studio = None
        if name and not self._inputs.studio_pool:
            studio = self.refusals.of(lambda: Studio.find(lightning, name))
        catalog = Catalog(lightning, studio.cluster if studio else cloud)
        for machine in names:
            # Which GPU there is, and whether, is another question.
            if machine.lower() != "gpu":
                self.refusals.of(partial(catalog.machine, machine))

    def refused(self) -> RefusedError:
        """What there is to tell, where nothing may be started."""
        self._look_at_machines()
        return RefusedError(self.refusals.reasons)

    def _look_at_repository(self) -> None:
        """Tells of what will not be there when the command runs."""
        inputs = self._inputs
        if not inputs.requirements and (
            file := requirements.overlooked(self._root, inputs.working_directory, [*inputs.commands, inputs.command])
        ):
            setting = self._workflow.setting("requirements", file)
            way_out = requirements.refusal(self._root / file) or f"To have it installed, set `{setting}`"
            told = f"The input `requirements` is not set, so what {file} lists is not installed. {way_out}."
            self._workflow.notice(told, Code.NOT_INSTALLED)
        if maker := requirements.environment_maker(inputs.command):
            self._workflow.warning(
                f"`{maker}` makes a Python environment of its own, which has the Lightning orchestrator only if the "
                "project lists `lightning-zenml`. To run in the studio's, which has all that is needed, name the "
                "project's file in `requirements`, and start the command with `python`.",
                Code.OTHER_ENVIRONMENT,
            )
