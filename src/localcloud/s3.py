"""A real S3 API (moto) for ZenML's s3 artifact store. It keeps everything in memory."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcloud.service import free_port, service

BUCKET = "zenml"


@dataclass(frozen=True, kw_only=True)
class S3:
    """A running S3 server.

    Args:
        url: endpoint URL.
        bucket: name of a bucket that exists.
        key: access key id; moto takes any.
        secret: secret access key; moto takes any.
    """

    url: str
    bucket: str = BUCKET
    key: str = "test"
    secret: str = "test"


@contextmanager
def s3_server(root: Path) -> Iterator[S3]:
    """Runs an S3 server with one empty bucket.

    Args:
        root: folder for its log.

    Yields:
        The server.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with service(command, ready_url=f"{url}/moto-api/", log=root / "s3.log"):
        with urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT"), timeout=120):
            pass
        yield S3(url=url)
