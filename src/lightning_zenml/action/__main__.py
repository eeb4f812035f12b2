"""`python -m lightning_zenml.action main|post`: the only place that touches os.environ, sys.exit and signals."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

# Before anything imports the SDK: a keep-alive thread of its would hold up every stop by this many seconds.
os.environ.setdefault("LIGHTNING_KEEPALIVE_FREQUENCY", "1")
# As the image has them.
os.environ.setdefault("LIGHTNING_DISABLE_VERSION_CHECK", "1")
os.environ.setdefault("ZENML_ANALYTICS_OPT_IN", "false")
# OpenSSL's variable for certificate authorities, which requests doesn't know.
if os.environ.get("SSL_CERT_FILE") and not os.environ.get("REQUESTS_CA_BUNDLE"):
    os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"]

from lightning_zenml import http_log
from lightning_zenml.action.github.composite import as_of_docker
from lightning_zenml.action.github.seclusion import seclude
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.main import main
from lightning_zenml.action.post import post
from lightning_zenml.action.story import Cancelled
from lightning_zenml.launch.interruption import Interruption


def run() -> NoReturn:
    """Runs the entrypoint that the command line names, and ends the process with its exit code.

    The process ends at once, whatever other threads do: one that is still importing (the stack's requirements are read
    beside the start of the studio) makes the interpreter's own end abort with "FATAL: exception not rethrown".
    """
    exit_code = _exit_code()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _exit_code() -> int:
    environ = as_of_docker(seclude())
    workflow = Workflow(environ, sys.stdout)
    if environ.get("RUNNER_DEBUG") == "1":
        http_log.log_to(workflow.debug)
    if sys.argv[1:] == ["post"]:
        return post(environ, workflow)
    try:
        with Interruption(lambda number: Cancelled(128 + number), signal.SIGINT, signal.SIGTERM):
            return main(environ, workflow)
    except Cancelled as cancelled:
        return cancelled.exit_code


if __name__ == "__main__":
    run()
