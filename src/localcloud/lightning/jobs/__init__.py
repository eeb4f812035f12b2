"""Jobs, the snapshots that they start from, and the pipelines whose schedules start them."""
