"""All services of the local cloud, with a ZenML stack on them: what a demo, a test or a benchmark stands on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud.s3 import S3, s3_server
from localcloud.zenml import STOCK, ZenML, zenml_server

if TYPE_CHECKING:
    from localcloud.github import GitHub
    from localcloud.lightning import Knobs, LightningCloud

STACK = "lightning"
ZENML_PACKAGES = (f"zenml=={version('zenml')}", "aws-profile-manager", "boto3", "s3fs>=2026")
"""What every launch on this stack installs; in new studios from the start (`Knobs.packages`) it spares tests time."""
ORCHESTRATOR = "lightning_orchestrator"
ARTIFACT_STORE = "s3_store"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The running services and the stack registered with them.

    Args:
        zenml: the ZenML server.
        s3: the S3 server that holds the artifact store.
        id: of the stack.
        orchestrator_id: of its orchestrator.
        environment: variables of a client on a laptop: ZenML's server, key, stack and an own configuration folder,
            and Lightning's address. Hold them over a clean environment; they hold no Lightning credentials,
            those are attributes of the orchestrator.
        lightning: the stand-in for Lightning AI, if asked for.
        github: the stand-in for GitHub, if asked for.
        name: of the stack.
    """

    zenml: ZenML
    s3: S3
    id: str
    orchestrator_id: str
    environment: dict[str, str] = field(repr=False)
    lightning: LightningCloud | None = None
    github: GitHub | None = None
    name: str = STACK

    @property
    def zenml_url(self) -> str:
        """Base URL of the ZenML server."""
        return self.zenml.url

    @property
    def zenml_api_key(self) -> str:
        """API key of the ZenML server's service account."""
        return self.zenml.api_key

    @property
    def s3_url(self) -> str:
        """Endpoint URL of the S3 server."""
        return self.s3.url


@contextmanager
def services(
    root: Path,
    *,
    lightning: bool = True,
    github: bool = True,
    knobs: Knobs | None = None,
    server_has_our_package: bool = False,
) -> Iterator[Stack]:
    """Runs the services on free ports of 127.0.0.1 and registers the stack `lightning`.

    Args:
        root: folder for everything that they write.
        lightning: start the stand-in for Lightning AI; without it the orchestrator gets credentials that open nothing.
        github: start the stand-in for GitHub.
        knobs: how the stand-in for Lightning AI behaves.
        server_has_our_package: on ZenML's server, as few out there will have it.

    Yields:
        The services.
    """
    with ExitStack() as running:
        cloud = hub = None
        if lightning:
            from localcloud.lightning import LightningCloud

            cloud = running.enter_context(
                LightningCloud(root / "lightning", knobs) if knobs else LightningCloud(root / "lightning")
            )
        if github:
            from localcloud.github import GitHub

            hub = running.enter_context(GitHub())
        s3 = running.enter_context(s3_server(root))
        address = {"LIGHTNING_CLOUD_URL": cloud.url} if cloud else {}
        zenml = running.enter_context(zenml_server(root / "zenml", address if server_has_our_package else STOCK))
        artifact_store = register_artifact_store(zenml, s3)
        orchestrator = register_orchestrator(zenml, cloud)
        stack = register_stack(zenml, STACK, artifact_store, orchestrator)
        environment = {
            "ZENML_STORE_URL": zenml.url,
            "ZENML_STORE_API_KEY": zenml.api_key,
            "ZENML_CONFIG_PATH": str(root / "client"),
            "ZENML_ANALYTICS_OPT_IN": "false",
            # Drawing a traceback takes ZenML longer than running a step: 3 s of CPU.
            "ZENML_ENABLE_RICH_TRACEBACK": "false",
            "ZENML_ACTIVE_STACK_ID": stack,
        }
        if cloud is not None:
            environment["LIGHTNING_CLOUD_URL"] = cloud.url
        yield Stack(
            zenml=zenml,
            s3=s3,
            id=stack,
            orchestrator_id=orchestrator,
            environment=environment,
            lightning=cloud,
            github=hub,
        )


def client_environment(stack: Stack, **more: str) -> dict[str, str]:
    """Builds the whole environment of a laptop's client: this machine's, without its ZenML, Lightning and GitHub.

    Args:
        stack: the services.
        **more: further variables.

    Returns:
        The environment, for a subprocess.
    """
    foreign = ("ZENML_", "LIGHTNING_", "GITHUB_", "INPUT_", "AWS_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return own | stack.environment | more


def register_artifact_store(zenml: ZenML, s3: S3, name: str = ARTIFACT_STORE) -> str:
    """Registers the S3 bucket as artifact store, its keys in a ZenML secret.

    Args:
        zenml: the ZenML server.
        s3: the S3 server.
        name: of the artifact store.

    Returns:
        Its id.
    """
    secret = f"{name}_keys"
    values = {"aws_access_key_id": s3.key, "aws_secret_access_key": s3.secret}
    zenml.request("POST", "secrets", {"name": secret, "values": values})
    configuration = {
        "path": f"s3://{s3.bucket}",
        "authentication_secret": secret,
        "client_kwargs": json.dumps({"endpoint_url": s3.url, "region_name": "us-east-1"}),
    }
    return _register_component(zenml, name, "artifact_store", "s3", configuration)


def register_orchestrator(zenml: ZenML, cloud: LightningCloud | None, name: str = ORCHESTRATOR) -> str:
    """Registers the orchestrator, as `zenml orchestrator register NAME --flavor=lightning --user_id=...` does.

    Args:
        zenml: the ZenML server.
        cloud: whose credentials it gets; None: invented ones.
        name: of the orchestrator.

    Returns:
        Its id.
    """
    configuration = {"user_id": "nobody", "api_key": "opens-nothing", "username": "ada", "teamspace": "vision"}
    if cloud is not None:
        configuration = {
            "user_id": cloud.user_id,
            "api_key": cloud.api_key,
            "organization": cloud.organization,
            "teamspace": cloud.teamspace,
        }
    return _register_component(zenml, name, "orchestrator", "lightning", configuration)


def register_stack(zenml: ZenML, name: str, artifact_store: str, orchestrator: str) -> str:
    """Registers a stack.

    Args:
        zenml: the ZenML server.
        name: of the stack.
        artifact_store: id of its artifact store.
        orchestrator: id of its orchestrator.

    Returns:
        Its id.
    """
    components = {"artifact_store": [artifact_store], "orchestrator": [orchestrator]}
    stack = zenml.request("POST", "stacks", {"name": name, "components": components})
    return str(stack["id"])


def _register_component(zenml: ZenML, name: str, kind: str, flavor: str, configuration: dict[str, Any]) -> str:
    body = {"name": name, "type": kind, "flavor": flavor, "configuration": configuration}
    return str(zenml.request("POST", "components", body)["id"])
