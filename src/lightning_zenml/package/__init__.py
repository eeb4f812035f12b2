"""A repository becomes one archive."""
