"""The environment variables that cross a process: the one source of these names."""

from __future__ import annotations

LAUNCH_ID = "LIGHTNING_ZENML_LAUNCH_ID"
"""Id of the launch. The supervisor and a schedule's pipeline set it; our orchestrator reads it."""
LAUNCH_DIR = "LIGHTNING_ZENML_LAUNCH_DIR"
"""Folder of the launch on the studio, absolute. The supervisor and a schedule's job set it; our orchestrator and
`zenml_api.run_end` read it."""
CODE = "LIGHTNING_ZENML_CODE"
"""Root of the code on the studio, absolute. The supervisor and a schedule's job set it, `Caller.adapt` narrows it;
controller and steps read it."""
STUDIO_NAME = "LIGHTNING_ZENML_STUDIO_NAME"
"""Name of the launch's studio. The supervisor and a schedule's pipeline set it; our orchestrator reads it."""
STUDIO_URL = "LIGHTNING_ZENML_STUDIO_URL"
"""Page of the launch's studio. The supervisor and a schedule's pipeline set it; our orchestrator reads it."""
MACHINE = "LIGHTNING_ZENML_MACHINE"
"""Name of the machine that a program runs on. Supervisor, job and schedule set it; our orchestrator and users read."""
METER = "LIGHTNING_ZENML_METER"
"""What a step's own machines cost, JSON of `protocol.Meter`. The controller sets it for a job; our orchestrator reads
it there."""
BEGAN = "LIGHTNING_ZENML_BEGAN"
"""When a job's machine had come, seconds since 1970. The job's command sets it; our orchestrator reads it there."""
USAGE = "LIGHTNING_ZENML_USAGE"
"""File in which is kept what was used of the machine, absolute. The supervisor sets it, and a job's command for its
own; the sampler of a job and our orchestrator read it."""
STOP_IDLE_GPU = "LIGHTNING_ZENML_STOP_IDLE_GPU"
"""Seconds after which a job ends whose GPUs nobody uses. The controller sets it for a job, whose sampler reads it."""
TEAMSPACE = "LIGHTNING_ZENML_TEAMSPACE"
"""Teamspace of the studio, `owner/name`. The supervisor and a schedule's pipeline set it; our orchestrator reads it."""
LENT = "LIGHTNING_ZENML_LENT"
"""Names of the credentials that the studio lacked, by comma. The supervisor sets it; our orchestrator reads it, lest
steps inherit them."""
RESTARTED = "LIGHTNING_ZENML_RESTARTED"
"""Set once the launch's command was killed and started again. The supervisor sets it; the controller reads it."""
FAILURE = "LIGHTNING_ZENML_FAILURE"
"""Why a launch failed, in words. The supervisor sets it for `on_failure`; `zenml_api.run_end` reads it."""
STOPPED = "LIGHTNING_ZENML_STOPPED"
"""Set beside it where the launch was stopped as it has cost what it may. The supervisor sets it for `on_failure`;
`zenml_api.run_end` reads it."""
END = "LIGHTNING_ZENML_END"
"""How a launch ended that nobody follows, JSON of `protocol.Status`. The guardian sets it for `on_failure`;
`zenml_api.run_end` reads it."""
SOURCE_ROOT_INSIDE = "LIGHTNING_ZENML_SOURCE_ROOT"
"""Where the source root lies in the repository that was packed. `Caller.adapt` sets it and reads it, in bash."""

SETTINGS = "LIGHTNING_ZENML_SETTINGS"
"""Orchestrator settings over all others, JSON. The Action and users set it; our orchestrator reads it."""
GITHUB = "LIGHTNING_ZENML_GITHUB"
"""What started a run on GitHub: JSON with `repository`, `sha`, `ref`, `branch`, `pull_request`, `workflow_run_url` and
`actor`. The Action sets it; our orchestrator makes metadata and tags of it."""
LAPTOP = "LIGHTNING_ZENML_LAPTOP"
"""Where a run comes from that `lightning-zenml run` has started: JSON with `repository`, `sha`, `branch`, `uncommitted`
and `user`. It sets it; our orchestrator makes metadata and a tag of it."""
CALLER = "LIGHTNING_ZENML_CALLER"
"""Who started a client that submits runs, JSON of `launch.caller.Caller`. The Action sets it; our orchestrator reads
it."""
ORCHESTRATOR_RUN_ID = "LIGHTNING_ZENML_ORCHESTRATOR_RUN_ID"
"""Id of a run on Lightning. The controller sets it for its steps, which read it."""
START = "LIGHTNING_ZENML_START"
"""Where a pipeline was started, JSON of `orchestrator.start.Start`. The controller sets it for its steps, which read
it."""
EXECUTION = "LIGHTNING_ZENML_EXECUTION"
"""Tells one execution of a schedule from the next where Lightning doesn't. The schedule's job sets and reads it."""

START_TIMEOUT = "LIGHTNING_ZENML_START_TIMEOUT"
"""Seconds to wait for a machine. Users set it; `launch.studio.waits.Limits` reads it."""
SETUP_TIMEOUT = "LIGHTNING_ZENML_SETUP_TIMEOUT"
"""Seconds to wait for a studio's set-up. Users set it; `launch.studio.waits.Limits` reads it."""
USAGE_SECONDS = "LIGHTNING_ZENML_USAGE_SECONDS"
"""Seconds between two samples of what is used of a machine; 0: none. Users set it for the run; the samplers read it."""
STOCK = "LIGHTNING_ZENML_STOCK"
"""Set to anything, turns the overlay of ZenML's flavor off. Users set it; `orchestrator.stock` and `overlay.pth` (which
imports nothing before it has looked, and so spells the name itself) read it."""

ZENML_CONFIG_PATH = "ZENML_CONFIG_PATH"
"""ZenML's own: where it keeps its tokens. Supervisor, job and schedule set it, out of the home: no snapshot has it."""
SOURCE_ROOT = "ZENML_CUSTOM_SOURCE_ROOT"
"""ZenML's own: the folder that a step's module is imported from, in the code or the root of it. The controller sets it;
steps read it."""
UV_TRAP = "UV_LIGHTNING_VIRTUALENV_ROOT"
"""Lightning's own: names a folder that does not exist, over which uv fails. Studios set it, what we start lacks it."""

OF_THE_SHELL = frozenset({"PWD", "OLDPWD", "SHLVL", "_"})
"""What a shell keeps for itself, and sets anew in each program that it starts."""
