"""ZenML pipelines on Lightning AI: a GitHub Action and a ZenML orchestrator on one core."""
