"""What the orchestrator relies on of ZenML's Python code, and whether the ZenML that is installed has it.

The one list of it: `tests/unit/test_zenml_internals.py` holds it and the orchestrator's modules together.
`lightning_zenml.zenml_api.relied_on` is the same for ZenML's REST API. Looking imports ZenML and starts nothing.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from lightning_zenml.launch.payload.variables import STOCK
from lightning_zenml.zenml_api.versions import TESTED, is_tested, is_too_old, named


def _members(of: str, names: str) -> tuple[str, ...]:
    return tuple(f"{of}.{name}" for name in names.split())


USED: Mapping[str, tuple[str, ...]] = {
    "zenml": ("__version__", "add_tags(tags, run)"),
    "zenml.client": (
        *_members("Client", "_active_project _active_stack active_stack zen_store"),
        "Client.create_run_metadata(metadata, resources)",
        "Client.get_pipeline_run(name_id_or_prefix, hydrate)",
        "Client.get_run_step(step_run_id, hydrate)",
        "Client.list_pipeline_runs(parent_run_id, schedule_id, project, hydrate, page)",
        "Client.list_run_steps(name, pipeline_run_id, exclude_retried, hydrate, size, page)",
        "Client.list_snapshots(schedule_id, named_only, project, size, hydrate)",
    ),
    "zenml.zen_stores.rest_zen_store": (
        "RestZenStore.create_run_step(step_run)",
        "RestZenStore.get_or_generate_api_token()",
        "RestZenStore.get_schedule(schedule_id)",
        "RestZenStore.get_snapshot(snapshot_id)",
        "RestZenStore.session",
        "RestZenStore.update_run(run_id, run_update)",
    ),
    "zenml.config": ("ResourceSettings",),
    "zenml.config.global_config": _members("GlobalConfiguration", "_active_project _active_stack"),
    "zenml.config.base_settings": ("BaseSettings",),
    "zenml.config.step_configurations": ("Step(spec, config, step_config_overrides)",),
    "zenml.constants": (
        "ENV_ZENML_DYNAMIC_PIPELINE_MONITORING_INTERVAL",
        *(f"METADATA_ORCHESTRATOR_{name}" for name in ("LOGS_URL", "RUN_ID", "URL")),
    ),
    "zenml.entrypoints.entrypoint": ("main()",),
    "zenml.entrypoints.step_entrypoint_configuration": ("StepEntrypointConfiguration.get_entrypoint_arguments",),
    "zenml.step_operators.step_operator_entrypoint_configuration": (
        "StepOperatorEntrypointConfiguration.get_entrypoint_arguments",
    ),
    "zenml.enums": (
        "ExecutionMode.FAIL_FAST",
        "ExecutionMode.STOP_ON_FAILURE",
        *_members("ExecutionStatus", "CACHED CANCELLED COMPLETED FAILED PAUSED PROVISIONING"),
        *_members("ExecutionStatus", "RESUMING RETRYING RUNNING STOPPED STOPPING is_finished is_successful"),
        "StepRuntime.ISOLATED",
    ),
    "zenml.exceptions": (
        *("AuthorizationException", "IllegalOperationError", "RunStoppedException", "SettingsResolvingError"),
    ),
    "zenml.execution.pipeline.dynamic.compilation": (
        "get_step_runtime(step_config, pipeline_docker_settings, orchestrator)",
    ),
    "zenml.execution.pipeline.dynamic.runner": (
        "DynamicPipelineRunner(snapshot, run, orchestrator, pause_coordinator, parent_runner)",
        "DynamicPipelineRunner.run_pipeline()",
        *_members(
            "DynamicPipelineRunner",
            "_continue_on_failure _existing_step_runs _failure_detected _monitoring_event _orchestrator",
        ),
        *_members("DynamicPipelineRunner", "_pause_coordinator _run _shutdown_requested _snapshot _steps_to_monitor"),
    ),
    "zenml.integrations.lightning.flavors.lightning_orchestrator_flavor": (
        "LightningOrchestratorConfig",
        "LightningOrchestratorSettings",
        *_members("LightningOrchestratorFlavor", "config_class implementation_class docs_url sdk_docs_url"),
    ),
    "zenml.integrations.registry": (
        "integration_registry.activate_integrations()",
        "integration_registry.select_integration_requirements(integration_name)",
    ),
    "zenml.logger": ("get_logger(logger_name)",),
    "zenml.login.credentials_store": ("get_credentials_store()", "CredentialsStore.can_login(server_url)"),
    "zenml.metadata.metadata_types": ("MetadataType", "Uri"),
    "zenml.models": (
        "PipelineRunUpdate.orchestrator_run_id",
        *_members("PipelineRunResponse", "in_progress orchestrator_run_id original_run run_metadata status"),
        *_members("PipelineSnapshotResponse", "is_dynamic pipeline_configuration schedule stack step_configurations"),
        *_members("StepRunResponse", "config heartbeat_threshold inputs is_retriable latest_heartbeat"),
        *_members("StepRunResponse", "pipeline_run_id spec start_time status version"),
    ),
    "zenml.orchestrators": (
        "BaseOrchestrator",
        "BaseOrchestratorConfig",
        "PipelineSubmissionError",
        "SubmissionResult(wait_for_completion, metadata)",
    ),
    "zenml.orchestrators.base_orchestrator": ("BaseOrchestratorFlavor",),
    "zenml.orchestrators.dag_runner": (
        (
            "DagRunner(nodes, node_startup_function, node_monitoring_function, node_stop_function, interrupt_function, "
            "monitoring_interval, interrupt_check_interval, max_parallelism)"
        ),
        "DagRunner.run()",
        "InterruptMode.FORCE",
        "InterruptMode.GRACEFUL",
        "Node(id, status, upstream_nodes)",
        *_members("NodeStatus", "CANCELLED COMPLETED FAILED NOT_READY RUNNING"),
    ),
    "zenml.orchestrators.input_utils": ("resolve_step_inputs(step, pipeline_run)",),
    "zenml.orchestrators.publish_utils": (
        "publish_pipeline_run_metadata(pipeline_run_id, pipeline_run_metadata)",
        "publish_pipeline_run_status_update(pipeline_run_id, status, status_reason)",
        "publish_schedule_metadata(schedule_id, schedule_metadata)",
        "publish_step_run_metadata(step_run_id, step_run_metadata)",
        "publish_step_run_status_update(step_run_id, status, exception_info)",
        "publish_stopped_step_run(step_run_id)",
    ),
    "zenml.orchestrators.step_launcher": (),
    "zenml.orchestrators.step_run_utils": (
        "StepRunRequestFactory(snapshot, pipeline_run, stack)",
        "StepRunRequestFactory.create_request(invocation_id)",
        "StepRunRequestFactory.has_caching_enabled(invocation_id)",
        "StepRunRequestFactory.populate_request(request)",
        "StepRunRequestFactory.record_step_run(step_run)",
        "publish_cached_step_run(request, pipeline_run)",
    ),
    "zenml.orchestrators.step_runner": (
        "StepRunner(step, stack)",
        "StepRunner._load_step()",
        "StepRunner._parse_inputs(signature, input_artifacts)",
    ),
    "zenml.orchestrators.utils": ("get_config_environment_vars(pipeline_run_id)",),
    "zenml.pipelines.run_utils": ("create_placeholder_run(snapshot)",),
    "zenml.stack": (
        "Stack.from_model(stack_model)",
        "Stack.requirements",
        "Stack.all_components",
        "StackValidator(custom_validation_function)",
    ),
    "zenml.steps": ("StepHeartBeatTerminationException",),
    "zenml.steps.heartbeat": (
        "is_heartbeat_unhealthy(step_run_id, status, start_time, heartbeat_threshold, latest_heartbeat)",
    ),
    "zenml.steps.step_context": (
        "StepContext(pipeline_run, step_run, output_materializers, output_artifact_uris, output_artifact_configs)",
    ),
    "zenml.steps.utils": ("get_resolved_signature(func)",),
    "zenml.utils.dashboard_utils": ("get_run_url(run)",),
    "zenml.utils.env_utils": (
        "get_runtime_environment(config, stack)",
        "get_runtime_secret_environment(config, stack)",
        "temporary_environment(environment)",
    ),
    "zenml.utils.exception_utils": ("collect_exception_information(exception)",),
    "zenml.utils.io_utils": ("get_global_config_directory()",),
    "zenml.utils.logging_utils": (
        "is_pipeline_logging_enabled(pipeline_configuration)",
        "setup_logging_context(source, pipeline_run)",
    ),
    "zenml.utils.pagination_utils": ("depaginate(list_method)",),
    "zenml.utils.pipeline_docker_image_builder": (
        "PipelineDockerImageBuilder.gather_requirements_files(docker_settings, stack, log)",
    ),
    "zenml.utils.secret_utils": ("is_secret_reference(value)",),
    "zenml.utils.settings_utils": (
        "get_stack_component_name_setting_key(stack_component)",
        "get_stack_component_setting_key(stack_component)",
    ),
    "zenml.utils.source_utils": (
        "get_implicit_source_root()",
        "get_source_root()",
        "set_custom_source_root(source_root)",
    ),
    "zenml.utils.time_utils": ("utc_now()",),
}
"""By module what is used: a name, a member of a class or, in parentheses, what it is called with."""

OVERRIDDEN: Mapping[str, tuple[str, ...]] = {
    "zenml.orchestrators": (
        *_members("BaseOrchestrator", "config requirements settings_class supported_execution_modes validator"),
        *_members("BaseOrchestrator", "_stop_run_forcefully(pipeline_run) _stop_run_gracefully(pipeline_run)"),
        *_members("BaseOrchestrator", "cleanup_isolated_step(step_run) get_isolated_step_status(step_run)"),
        *_members("BaseOrchestrator", "stop_isolated_step(step_run) wait_for_isolated_step(step_run)"),
        *_members("BaseOrchestrator", "get_orchestrator_run_id() get_pipeline_run_metadata(run_id)"),
        *_members("BaseOrchestrator", "get_step_run_metadata(info) prepare_step_run(info) get_settings(container)"),
        *_members("BaseOrchestrator", "run_cleanup_hook(snapshot) run_init_hook(snapshot) delete_schedule(schedule)"),
        "BaseOrchestrator.fetch_status(run, include_steps)",
        "BaseOrchestrator.submit_dynamic_pipeline(snapshot, stack, environment, placeholder_run)",
        "BaseOrchestrator.submit_isolated_step(step_run_info, environment)",
        "BaseOrchestrator.submit_pipeline(snapshot, stack, base_environment, step_environments, placeholder_run)",
        "BaseOrchestrator.update_schedule(schedule, update)",
        *_members(
            "BaseOrchestratorConfig",
            "handles_step_retries is_local is_remote is_schedulable is_synchronous supports_client_side_caching",
        ),
    ),
    "zenml.orchestrators.base_orchestrator": _members(
        "BaseOrchestratorFlavor", "config_class docs_url implementation_class logo_url name sdk_docs_url"
    ),
    "zenml.entrypoints.step_entrypoint_configuration": (
        "StepEntrypointConfiguration._run_step(step, snapshot)",
        "StepEntrypointConfiguration.prepare_code_environment()",
    ),
    "zenml.step_operators.step_operator_entrypoint_configuration": (
        "StepOperatorEntrypointConfiguration._run_step(step, snapshot)",
        "StepOperatorEntrypointConfiguration.prepare_code_environment()",
        "StepOperatorEntrypointConfiguration.step_run",
    ),
    "zenml.execution.pipeline.dynamic.runner": (
        "DynamicPipelineRunner._build_child_runner(child_run)",
        "DynamicPipelineRunner._cleanup_isolated_step(step_run)",
        "DynamicPipelineRunner._compile_or_reuse",
        "DynamicPipelineRunner._get_isolated_step_infra_status(step_run)",
        "DynamicPipelineRunner._monitoring_loop()",
        "DynamicPipelineRunner._on_failure_detected(exception)",
        "DynamicPipelineRunner._register_isolated_step_for_monitoring(invocation_id, step_run)",
        "DynamicPipelineRunner._run_sync_step(step, remaining_retries)",
    ),
}
"""By module what ours stands in for: in parentheses what ZenML may call it with."""

LOGGED = ("zenml.orchestrators.step_launcher", " has started.")
"""By module what ZenML logs as a step begins; `lightning_zenml.action.log` groups by it, and can do without."""


def problem() -> str | None:
    """Says in one line what the ZenML that is installed lacks, and which one to take; None if it will do."""
    version, lacks = _version(), missing()
    if not (lacks or is_too_old(version)):
        return None
    reason = f"lacks what the Lightning orchestrator relies on: {named(lacks)}" if lacks else "is too old"
    return (
        f"ZenML {version} {reason}. {TESTED} work: install one of them, as on the ZenML server. {STOCK}=1 leaves "
        "pipelines to ZenML's own Lightning orchestrator."
    )


def notice() -> str | None:
    """What to tell of a ZenML that nobody has tested; None for one that was."""
    if is_tested(_version()):
        return None
    log = "" if _is_logged() else " Its log is told otherwise, so the Action's isn't grouped by steps."
    return f"ZenML {_version()} isn't tested with this lightning-zenml, but has all that it relies on.{log}"


@cache
def missing() -> tuple[str, ...]:
    """Looks for all that is relied on.

    Returns:
        What isn't there, or is called otherwise now, one phrase each.
    """
    used = [lack for module, names in USED.items() for lack in _missing(module, names, overridden=False)]
    used += [lack for module, names in OVERRIDDEN.items() for lack in _missing(module, names, overridden=True)]
    return tuple(dict.fromkeys(used))


def _version() -> str:
    import zenml

    return str(zenml.__version__)


def _is_logged() -> bool:
    module, text = LOGGED
    try:
        return text in inspect.getsource(import_module(module))
    except OSError:
        return False


def _missing(module: str, names: tuple[str, ...], *, overridden: bool) -> Iterator[str]:
    try:
        home: Any = import_module(module)
    except Exception as error:
        # Whatever its import fails of: that of the orchestrator would, too.
        yield f"{module} ({type(error).__name__}: {error})".replace("\n", " ")
        return
    for text in names:
        path, _, parameters = text.rstrip(")").partition("(")
        told = f"{module}.{path}"
        try:
            found = _find(home, path)
        except AttributeError:
            yield told
            continue
        if "(" in text:
            ours = set(re.findall(r"\w+", parameters))
            yield from (f"{told} {word}" for word in _differences(found, ours, overridden=overridden))


def _find(home: Any, path: str) -> Any:
    """A member by its path; `None` for one that only instances have.

    Raises:
        AttributeError: if there is none.
    """
    found = home
    for name in path.split("."):
        owner = found
        try:
            found = getattr(owner, name)
        except AttributeError:
            if not (inspect.isclass(owner) and _is_of_instances(owner, name)):
                raise
            return None
    return found


def _is_of_instances(owner: type, name: str) -> bool:
    if name in getattr(owner, "model_fields", {}):
        return True
    own = (vars(kind).get("__init__") for kind in owner.__mro__)
    return any(name in begin.__code__.co_names for begin in own if inspect.isfunction(begin))


def _differences(found: Any, ours: set[str], *, overridden: bool) -> Iterator[str]:
    """How the parameters of a function differ from those that ours has, or calls it with."""
    theirs = {name: one for name, one in inspect.signature(found).parameters.items() if name != "self"}
    kinds = {one.kind for one in theirs.values()}
    needed = {
        name
        for name, one in theirs.items()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    }
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        yield from (f"has no parameter `{name}`" for name in sorted(ours - set(theirs)))
    unknown = set(theirs) if overridden else needed
    yield from (f"has a new parameter `{name}`" for name in sorted(unknown - ours))
