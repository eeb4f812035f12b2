"""Where a step runs: in a process in the studio, or as a job on machines of its own."""
