"""Artifacts of a workflow run: files that GitHub keeps with it, each a ZIP."""
