"""Curves that a training logs elsewhere than in ZenML: CSV, Hugging Face's trainer state, TensorBoard, MLflow."""
