"""What ZenML runs: the orchestrator flavor `lightning`. Knows nothing of GitHub."""
