"""Where a report goes: job summary, comment, commit status, check run, deployment; one module each."""
