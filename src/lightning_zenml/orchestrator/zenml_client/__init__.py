"""What is different about ZenML's client in the processes of a run: patience, curves, the source root, ends."""
