"""`python -m lightning_zenml.orchestrator.controller`: the controller of a run, where a client has launched it."""

from __future__ import annotations

import sys

from lightning_zenml.orchestrator.controller.controller import main

if __name__ == "__main__":
    sys.exit(main())
