"""What is different about ZenML's client in the processes of a run: its patience, and what it keeps of curves."""
