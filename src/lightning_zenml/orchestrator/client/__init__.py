"""Where the user's program runs: a pipeline is submitted from there, and followed."""
