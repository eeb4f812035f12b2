"""ZenML's schedules as pipelines of Lightning AI."""
