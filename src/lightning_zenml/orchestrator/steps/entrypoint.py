"""ZenML's entrypoints of a step, where the pipeline was started; ZenML's own would go to `/app`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from zenml.client import Client
from zenml.entrypoints.step_entrypoint_configuration import StepEntrypointConfiguration
from zenml.orchestrators import input_utils
from zenml.orchestrators.step_runner import StepRunner
from zenml.step_operators.step_operator_entrypoint_configuration import StepOperatorEntrypointConfiguration
from zenml.steps.step_context import StepContext
from zenml.steps.utils import get_resolved_signature
from zenml.utils import env_utils

from lightning_zenml.launch.payload.variables import CODE, SOURCE_ROOT
from lightning_zenml.orchestrator.start import Start
from lightning_zenml.orchestrator.usage import fail_when_idle
from lightning_zenml.orchestrator.zenml_client.curves import keep_curves
from lightning_zenml.orchestrator.zenml_client.known import keep

if TYPE_CHECKING:
    from zenml.config.step_configurations import Step
    from zenml.models import PipelineSnapshotResponse, StepRunResponse


class StepEntrypoint(StepEntrypointConfiguration):  # type: ignore[misc]
    """Runs a step and makes its record."""

    def prepare_code_environment(self) -> None:
        """Goes to where the pipeline was started; lets Python import as there."""
        keep(self.snapshot)
        enter()


class JointStepEntrypoint(StepEntrypoint):
    """Runs a step together with other machines, once: only the controller can start all of them again."""

    def _run_step(self, step: Step, snapshot: PipelineSnapshotResponse) -> None:
        once = step.config.model_copy(update={"retry": None})
        super()._run_step(step=step.model_copy(update={"config": once}), snapshot=snapshot)


class ResumedStepEntrypoint(StepOperatorEntrypointConfiguration):  # type: ignore[misc]
    """Runs a step that has a record already."""

    def prepare_code_environment(self) -> None:
        """Goes to where the pipeline was started; lets Python import as there."""
        keep(self.snapshot)
        enter()


class FollowingStepEntrypoint(ResumedStepEntrypoint):
    """Calls the function of a step that another machine records."""

    @property
    def step_run(self) -> StepRunResponse:
        """The step run, read only."""
        return Client().get_run_step(UUID(self.entrypoint_args["step_run_id"]))

    def _run_step(self, step: Step, snapshot: PipelineSnapshotResponse) -> None:
        step_run = self.step_run
        run = Client().get_pipeline_run(step_run.pipeline_run_id)
        input_utils.resolve_step_inputs(step=step, pipeline_run=run)
        stack = Client().active_stack
        runner = StepRunner(step=step, stack=stack)
        instance = runner._load_step()
        context = StepContext(
            pipeline_run=run,
            step_run=step_run,
            output_materializers={},
            output_artifact_uris={},
            output_artifact_configs={},
        )
        variables = env_utils.get_runtime_environment(config=step.config, stack=stack)
        variables |= env_utils.get_runtime_secret_environment(config=step.config, stack=stack)
        with context, env_utils.temporary_environment(variables):
            signature = get_resolved_signature(instance.entrypoint)
            inputs = runner._parse_inputs(signature=signature, input_artifacts=step_run.inputs)
            instance.call_entrypoint(**inputs)


def arguments_of(
    kind: type[StepEntrypoint | ResumedStepEntrypoint], name: str, snapshot_id: UUID, step_run_id: UUID | None
) -> list[str]:
    """Builds the arguments of `zenml.entrypoints.entrypoint`.

    Args:
        kind: class of the entrypoint.
        name: name of the step's invocation.
        snapshot_id: id of the compiled pipeline in ZenML.
        step_run_id: id of the step's record in ZenML, for a `ResumedStepEntrypoint`; None: there is none yet.

    Returns:
        The arguments.
    """
    more = {"step_run_id": step_run_id} if step_run_id else {}
    return [str(one) for one in kind.get_entrypoint_arguments(step_name=name, snapshot_id=snapshot_id, **more)]


def enter() -> None:
    """Goes to where the pipeline was started, as the variables of this process have it; there, curves are kept."""
    keep_curves()
    fail_when_idle()
    Start.find().enter(Path(os.environ[SOURCE_ROOT]), [Path(os.environ[CODE])])
