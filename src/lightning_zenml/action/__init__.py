"""What GitHub runs: reads inputs and event, launches, follows, reports. Knows nothing of the orchestrator."""
