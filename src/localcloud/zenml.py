"""A real ZenML server (SQLite) with a service account and its API key."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bcrypt
import requests

from localcloud.service import free_port, service

USERNAME = "admin"
PASSWORD = "localcloud-1"
STOCK: Mapping[str, str] = {"LIGHTNING_ZENML_STOCK": "1"}
"""Of a server out there, which knows nothing of our package: it checks components against the stock flavor."""


@dataclass(frozen=True, kw_only=True)
class ZenML:
    """A running ZenML server.

    Args:
        url: base URL; the REST API lies below `/api/v1`.
        api_key: API key of the service account `ci`.
        token: access token of the administrator.
        server: its process.
    """

    url: str
    api_key: str = field(repr=False)
    token: str = field(repr=False)
    server: Server = field(repr=False)

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Sends one REST request as the administrator.

        Args:
            method: HTTP method.
            path: below `/api/v1/`, with its query.
            body: JSON body.

        Returns:
            The JSON answer.

        Raises:
            RuntimeError: if the server refuses; holds its answer.
        """
        return _request(self.url, self.token, method, path, body)

    def go_away(self, seconds: float) -> None:
        """Refuses connections for about so long, then is back with all that it knew.

        Args:
            seconds: until it answers again; it needs some to start.
        """
        back = time.monotonic() + seconds - self.server.start_seconds
        self.server.stop()
        time.sleep(max(0, back - time.monotonic()))
        self.server.start()


class Server:
    """The process of a ZenML server, always at the same address.

    Args:
        root: folder for database, configuration and log.
        environment: further variables of the process.
    """

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self._root = root
        self._environment = environment
        self.database = root / "zenml.db"
        self._port = free_port()
        self._running = ExitStack()
        self.url = f"http://127.0.0.1:{self._port}"
        self.start_seconds = 0.0

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it and waits until it answers."""
        began = time.monotonic()
        self._running.enter_context(_server(self._root, self._port, self._environment))
        self.start_seconds = time.monotonic() - began

    def stop(self) -> None:
        """Ends it."""
        self._running.close()


@contextmanager
def zenml_server(root: Path, environment: Mapping[str, str] = STOCK) -> Iterator[ZenML]:
    """Runs a ZenML server on a database of its own.

    Args:
        root: folder for database, configuration and log.
        environment: further variables of the process; without `STOCK`, our package takes effect in it.

    Yields:
        The server.
    """
    root.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_database(), root / "zenml.db")
    with closing(sqlite3.connect(root / "zenml.db")) as connection:
        # Kept in the file: a commit waits once for the disk, where it would three times.
        connection.execute("PRAGMA journal_mode = WAL")
    with Server(root, environment) as server:
        url = server.url
        token = _login(url)
        yield ZenML(url=url, api_key=_api_key(server, token), token=token, server=server)


def _database() -> Path:
    """The database of a ZenML server on which nobody has done anything yet; a file to copy.

    The migrations that make it take several seconds, so it is kept in the user's cache folder, per version of ZenML.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = cache / "lightning-zenml-localcloud" / f"zenml-{version('zenml')}.db"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            with Server(Path(folder), STOCK) as server:
                _login(server.url)
            # Renamed into place: two test workers may do this at once.
            (Path(folder) / "zenml.db").replace(kept)
    return kept


def _api_key(server: Server, token: str) -> str:
    """Makes the service account `ci` and an API key of it that costs little to verify.

    ZenML's server hashes a key with 2**12 rounds, at each login twice: also for the key before it, were there none. So
    each process of a test cost 0.4 s of CPU before it began. This key is one that follows another, and in the database
    both have hashes of the fewest rounds that bcrypt has.
    """
    account = _request(
        server.url, token, "POST", "service_accounts", {"name": "ci", "description": "ci", "active": True}
    )
    keys = f"service_accounts/{quote(account['id'])}/api_keys"
    first = _request(server.url, token, "POST", keys, {"name": "ci", "description": "ci"})
    made = _request(server.url, token, "PUT", f"{keys}/{first['id']}/rotate", {"retain_period_minutes": 1_000_000})
    key = str(made["body"]["key"])
    hashes = [_quick_hash(str(one["body"]["key"])) for one in (made, first)]
    with closing(sqlite3.connect(server.database, timeout=30)) as database, database:
        database.execute("UPDATE api_key SET key = ?, previous_key = ?", hashes)
    return key


def _quick_hash(api_key: str) -> str:
    secret = json.loads(b64decode(api_key.removeprefix("ZENKEY_")))["key"]
    return bcrypt.hashpw(secret.encode(), bcrypt.gensalt(rounds=4)).decode()


@contextmanager
def _server(root: Path, port: int, more: Mapping[str, str]) -> Iterator[None]:
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", "zenml.zen_server.zen_server_api:app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZENML_")}
    environment |= {
        "ZENML_CONFIG_PATH": str(root / "server-config"),
        "ZENML_STORE_TYPE": "sql",
        "ZENML_STORE_URL": f"sqlite:///{(root / 'zenml.db').absolute()}",
        "ZENML_STORE_BACKUP_STRATEGY": "disabled",
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_SERVER_ANALYTICS_OPT_IN": "false",
        "ZENML_SERVER_DEPLOYMENT_TYPE": "other",
        "ZENML_SERVER_AUTH_SCHEME": "OAUTH2_PASSWORD_BEARER",
        "ZENML_SERVER_JWT_SECRET_KEY": "a-secret-of-the-local-cloud-only",
        "ZENML_SERVER_SERVER_URL": url,
        "ZENML_SERVER_AUTO_ACTIVATE": "1",
        "ZENML_DEFAULT_USER_NAME": USERNAME,
        "ZENML_DEFAULT_USER_PASSWORD": PASSWORD,
        **more,
    }
    with service(command, ready_url=f"{url}/health", log=root / "zenml-server.log", environment=environment):
        yield


def _login(url: str) -> str:
    answer = requests.post(
        f"{url}/api/v1/login",
        data={"grant_type": "password", "username": USERNAME, "password": PASSWORD},
        timeout=30,
    )
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def _request(url: str, token: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.request(method, f"{url}/api/v1/{path}", json=body, headers=headers, timeout=30)
    if not answer.ok:
        raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:2000]}")
    return answer.json()
