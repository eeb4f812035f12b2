"""Where the DAG of a pipeline run is worked off."""
