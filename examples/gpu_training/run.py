"""A PyTorch training on a spot GPU, with checkpoints: an attempt that loses its machine is gone on with by the next.

`python run.py` trains on a T4, `python run.py --cpu` wherever the other steps run.
"""

import sys
from typing import Annotated

from checkpoints import folder_of_step, newest, save
from zenml import log_metadata, pipeline, step
from zenml.config.retry_config import StepRetryConfig
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings

EPOCHS = 20
ON_CPU = {"orchestrator.lightning": LightningOrchestratorSettings(machine_type="CPU")}
ON_SPOT_GPU = {"orchestrator.lightning": LightningOrchestratorSettings(machine_type="T4", interruptible=True)}


@step
def load() -> Annotated[list[tuple[float, float, int]], "points"]:
    """Points in a plane, and whether each lies within a circle."""
    import torch

    points = torch.rand(2000, 2, generator=torch.Generator().manual_seed(7)) * 2 - 1
    return [(x, y, int(x * x + y * y < 0.5)) for x, y in points.tolist()]


@step(settings=ON_CPU if "--cpu" in sys.argv else ON_SPOT_GPU, retry=StepRetryConfig(max_retries=3, delay=5))
def train(points: list[tuple[float, float, int]]) -> Annotated[dict[str, list], "weights"]:
    """Wherever there is no GPU, on the CPU."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"Training on {torch.cuda.get_device_name() if device == 'cuda' else 'the CPU'}")
    torch.manual_seed(7)
    model = network().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    features = torch.tensor([point[:2] for point in points], device=device)
    labels = torch.tensor([[float(point[2])] for point in points], device=device)

    folder = folder_of_step()
    done, state = newest(folder, lambda file: torch.load(file, map_location=device, weights_only=True))
    if state:
        print(f"Going on after epoch {done}")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    for epoch in range(done + 1, EPOCHS + 1):
        for batch in torch.randperm(len(points), device=device).split(100):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(features[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        log_metadata({"loss": loss.item(), "epoch": epoch})
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        save(folder, epoch, lambda file, state=state: torch.save(state, file))
    return {name: tensor.cpu().tolist() for name, tensor in model.state_dict().items()}


@step
def evaluate(points: list[tuple[float, float, int]], weights: dict[str, list]) -> None:
    import torch

    model = network()
    model.load_state_dict({name: torch.tensor(values) for name, values in weights.items()})
    predicted = model(torch.tensor([point[:2] for point in points])).squeeze(1) > 0
    right = sum(bool(guess) == bool(point[2]) for guess, point in zip(predicted.tolist(), points, strict=True))
    log_metadata({"accuracy": right / len(points)})


def network():
    import torch

    return torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))


@pipeline(enable_cache=False, settings=ON_CPU)
def gpu_training() -> None:
    points = load()
    evaluate(points, train(points))


if __name__ == "__main__":
    gpu_training()
