"""What is looked at before anything is started, and what is told where that must not be."""
