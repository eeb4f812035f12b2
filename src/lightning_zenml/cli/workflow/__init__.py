"""`init`: a workflow for a repository, written from what the repository shows, and checked as the Action reads it."""
