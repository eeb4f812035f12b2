"""A ZenML server over REST: what it knows of runs, steps and stacks, and how a run's end is recorded."""
