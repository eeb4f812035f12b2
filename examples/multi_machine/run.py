"""One step on two machines. The same code runs on both and finds the other by the variables that PyTorch reads, too.

With PyTorch, `torch.distributed.init_process_group()` takes the place of the socket.
"""

import os
import socket
import time

from zenml import pipeline, step
from zenml.integrations.lightning.flavors.lightning_orchestrator_flavor import LightningOrchestratorSettings

ON_CPU = {"orchestrator.lightning": LightningOrchestratorSettings(machine_type="CPU")}
ON_TWO = {"orchestrator.lightning": LightningOrchestratorSettings(machine_type="T4", num_machines=2)}


@step
def load() -> list[int]:
    return list(range(10))


@step(settings=ON_TWO)
def add_up(numbers: list[int]) -> int:
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    part = sum(numbers[rank::world_size])
    print(f"Rank {rank} of {world_size} has {part}")
    address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    # What rank 0 returns is the step's output; what the others return stays with them.
    return part + (gather(address, world_size - 1) if rank == 0 else send(address, part))


@step
def show(total: int) -> None:
    print(f"Total: {total}")


@pipeline(enable_cache=False, settings=ON_CPU)
def two_machines() -> None:
    show(add_up(load()))


def gather(address: tuple[str, int], others: int) -> int:
    total = 0
    with socket.create_server(address) as server:
        for _ in range(others):
            connection, _ = server.accept()
            with connection:
                total += int(connection.makefile().readline())
    return total


def send(address: tuple[str, int], part: int) -> int:
    while True:
        try:
            connection = socket.create_connection(address)
        except OSError:
            time.sleep(0.2)
            continue
        with connection:
            connection.sendall(f"{part}\n".encode())
        return 0


if __name__ == "__main__":
    two_machines()
