"""What a run may cost: estimated and refused beforehand, watched while it runs."""
