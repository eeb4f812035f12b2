"""`python -m lightning_zenml.orchestrator.controller`: the controller of a run, where a client has launched it."""

from __future__ import annotations

import gc
import sys

if __name__ == "__main__":
    # What is imported stays: looking for garbage among it again and again takes time.
    gc.disable()
    from lightning_zenml.orchestrator.controller.controller import main

    gc.freeze()
    gc.enable()
    sys.exit(main())
