"""What `doctor` asks of ZenML: server, version, key, stack, artifact store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from lightning_zenml.cli.connection import Connection
from lightning_zenml.cli.doctor.finding import Finding, ok, skipped, warning, wrong
from lightning_zenml.cli.doctor.from_studio import LOOK_INTO_STORE
from lightning_zenml.launch.payload.variables import SOURCE_ROOT
from lightning_zenml.zenml_api.server import NoTokensError

_STORE_PATIENCE = 120.0
"""Seconds for the artifact store to answer, ZenML's import among them."""


def server(connection: Connection) -> Iterator[Finding]:
    """Looks at server and version."""
    info = connection.zenml.info()
    told = f"ZenML {info.version} at {connection.zenml.url}, by {connection.login.source}"
    yield warning("ZenML server", f"{told}. {info.notice}") if info.notice else ok("ZenML server", told)
    here = version("zenml")
    if here == info.version:
        yield ok("ZenML version", f"{here} here and on the server")
    else:
        yield warning(
            "ZenML version",
            f"{here} is installed here, the server has {info.version}: to run pipelines from here, "
            f"`pip install zenml=={info.version}`. Launches from GitHub install the server's",
        )


def key(connection: Connection) -> Iterator[Finding]:
    """Looks at the key, and whether a studio can get a token that lives shortly."""
    project = connection.zenml.project()
    yield ok("ZenML key", f"opens the project {project.name}")
    try:
        connection.zenml.mint_token(60)
    except NoTokensError as error:
        yield warning("ZenML token", f"The server makes no short-lived tokens, so studios get the key itself: {error}")
    else:
        yield ok("ZenML token", "the server makes short-lived ones for studios")


def stack(connection: Connection) -> Iterator[Finding]:
    """Looks at the stack."""
    found = connection.stack
    if found.orchestrator_flavor != "lightning":
        yield wrong(
            "ZenML stack",
            f"The orchestrator of {found.name} is of the flavor {found.orchestrator_flavor}. Make one with "
            "`zenml orchestrator register NAME --flavor=lightning`, and a stack with it",
        )
    else:
        yield ok("ZenML stack", f"{found.name}, with the orchestrator {found.orchestrator}")
    if found.artifact_store_flavor == "local":
        yield wrong(
            "artifact store",
            "It is on this machine, where no studio finds it. Register one of s3, gcp or azure, and "
            f"`zenml stack update {found.name} -a NAME`",
        )


def artifact_store(connection: Connection) -> Iterator[Finding]:
    """Looks into the artifact store from here, as ZenML's client does."""
    found = connection.stack
    if found.artifact_store_flavor == "local":
        return
    login = connection.login
    access = {"ZENML_STORE_API_KEY": login.api_key} if login.api_key else {"ZENML_STORE_API_TOKEN": login.token}
    environment = {
        **os.environ,
        **access,
        "ZENML_STORE_URL": login.url,
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_LOGGING_VERBOSITY": "ERROR",
        # It wants to know a folder, and imports nothing from it here.
        SOURCE_ROOT: str(Path.cwd()),
    }
    try:
        asked = subprocess.run(
            [sys.executable, "-c", LOOK_INTO_STORE, found.id],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_STORE_PATIENCE,
        )
        path, problem = json.loads(asked.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        yield wrong("artifact store", f"It does not answer here within {_STORE_PATIENCE:g} s")
    except (LookupError, ValueError):
        last = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        missing = f"`zenml integration install {found.artifact_store_flavor}` installs what its kind needs"
        yield skipped("artifact store", f"Can't be looked into here ({last}). {missing}")
    else:
        if problem:
            yield wrong("artifact store", f"{path} can't be reached from here: {problem}")
        else:
            yield ok("artifact store", f"{path} answers here")
