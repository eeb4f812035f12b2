"""What a studio or job runs on: a folder, a Python environment, processes that see no other machine's."""
