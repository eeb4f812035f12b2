"""Runs the pipeline on the active ZenML stack."""

from pipeline import digits

if __name__ == "__main__":
    digits()
