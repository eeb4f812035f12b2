"""Versions that go together, by version and integration of ZenML: `make lock` writes them."""
