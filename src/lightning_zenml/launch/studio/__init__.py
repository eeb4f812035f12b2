"""A studio made ready for a launch, held by it, and given back."""
