"""A small training: two models learn to read handwritten digits, the better one is kept."""

from typing import Annotated

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from zenml import log_metadata, pipeline, step


# Without the cache each run trains anew; leave `enable_cache` out to repeat only what has changed.
@pipeline(enable_cache=False)
def digits(seed: int = 7) -> None:
    """The two trainings don't depend on each other, so an orchestrator may run them side by side."""
    images, labels = load()
    train_images, test_images, train_labels, test_labels = split(images, labels, seed=seed)
    logistic_regression = train_logistic_regression(train_images, train_labels, seed=seed)
    random_forest = train_random_forest(train_images, train_labels, seed=seed)
    evaluate(logistic_regression, random_forest, test_images, test_labels)


@step
def load() -> tuple[Annotated[np.ndarray, "images"], Annotated[np.ndarray, "labels"]]:
    """1,797 images of 8x8 pixels that come with scikit-learn: nothing to download."""
    images, labels = load_digits(return_X_y=True)
    return images, labels


@step
def split(
    images: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[
    Annotated[np.ndarray, "train_images"],
    Annotated[np.ndarray, "test_images"],
    Annotated[np.ndarray, "train_labels"],
    Annotated[np.ndarray, "test_labels"],
]:
    """A quarter of the images is kept for the test."""
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.25, stratify=labels, random_state=seed
    )
    return train_images, test_images, train_labels, test_labels


@step
def train_logistic_regression(
    images: np.ndarray, labels: np.ndarray, seed: int
) -> Annotated[BaseEstimator, "logistic_regression"]:
    """The simple one; its loss by epoch becomes a curve in the pull request."""
    scaler = StandardScaler().fit(images)
    scaled = scaler.transform(images)
    model = SGDClassifier(loss="log_loss", alpha=0.01, random_state=seed)
    losses = []
    for _ in range(12):
        model.partial_fit(scaled, labels, classes=np.unique(labels))
        losses.append(float(log_loss(labels, model.predict_proba(scaled))))
    log_metadata({"loss": losses})
    return make_pipeline(scaler, model)


@step
def train_random_forest(images: np.ndarray, labels: np.ndarray, seed: int) -> Annotated[BaseEstimator, "random_forest"]:
    """The usual one."""
    return RandomForestClassifier(n_estimators=50, random_state=seed).fit(images, labels)


@step
def evaluate(
    logistic_regression: BaseEstimator,
    random_forest: BaseEstimator,
    images: np.ndarray,
    labels: np.ndarray,
) -> Annotated[BaseEstimator, "best_model"]:
    """Measures both models, logs the better one's metrics and returns it."""
    models = {"logistic_regression": logistic_regression, "random_forest": random_forest}
    accuracy = {name: float(accuracy_score(labels, model.predict(images))) for name, model in models.items()}
    best = max(accuracy, key=accuracy.__getitem__)
    log_metadata(
        {
            "model": best,
            "accuracy": accuracy[best],
            "f1": float(f1_score(labels, models[best].predict(images), average="macro")),
        }
    )
    for name in models:
        print(f"{name}: accuracy {accuracy[name]:.3f}")
    return models[best]
