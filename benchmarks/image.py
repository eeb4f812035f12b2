"""Size and start-up of the Action's image: `make bench-image`. Fails when the image is larger than it may be."""

from __future__ import annotations

import gzip
import json
import statistics
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from localcloud.docker import BASE, IMAGE, Docker, engine, reason_against

LIMIT = 90_000_000
"""Bytes that a runner may have to download on top of the base."""
STARTS = 5


def main() -> int:
    """Builds the image, prints the figures; returns 1 when the image is too large."""
    if reason := reason_against():
        print(reason, file=sys.stderr)
        return 1
    with engine(Path(__file__).parents[1]) as docker:
        base = len(_layers(docker, BASE))
        sizes = _compressed(docker, base)
        for layer, size in sizes.items():
            print(f"layer {layer:<20}{size / 1e6:7.1f} MB compressed")
        total = sum(sizes.values())
        print(f"on top of the base        {total / 1e6:7.1f} MB compressed, of {LIMIT / 1e6:.0f} MB")
        nothing = _seconds(docker, "/bin/true")
        print(f"start of a container      {nothing:7.2f} s")
        for entrypoint in ("main", "post"):
            seconds = _seconds(docker, f"/usr/local/bin/lightning-zenml-{entrypoint}")
            print(f"and of {entrypoint} in it         {seconds - nothing:7.2f} s more")
    return int(total > LIMIT)


def _layers(docker: Docker, image: str) -> list[str]:
    layers: list[str] = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image).stdout)
    return layers


def _compressed(docker: Docker, base: int) -> dict[str, int]:
    """Bytes of each layer above the base, compressed as a push to a registry does."""
    sizes = {}
    with tempfile.TemporaryDirectory() as scratch:
        saved = Path(scratch) / "image.tar"
        docker("save", "--output", str(saved), IMAGE)
        with tarfile.open(saved) as archive:
            manifest = archive.extractfile("manifest.json")
            assert manifest is not None
            for name in json.load(manifest)[0]["Layers"][base:]:
                layer = archive.extractfile(name)
                assert layer is not None
                sizes[name.removeprefix("blobs/sha256/")[:12]] = len(gzip.compress(layer.read(), 6))
    return sizes


def _seconds(docker: Docker, program: str) -> float:
    """Median time from `docker run` to its end, for a program that has nothing to do."""
    taken = []
    for _ in range(STARTS):
        started = time.monotonic()
        docker("run", "--rm", "--network", "host", "--entrypoint", program, IMAGE, check=False)
        taken.append(time.monotonic() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    sys.exit(main())
