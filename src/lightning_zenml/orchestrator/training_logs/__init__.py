"""Curves that a training's own loggers write into files: CSV, Hugging Face's trainer state, TensorBoard's events."""
