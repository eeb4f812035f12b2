"""The core: a command, on Lightning, from a packaged repository."""
