"""Who the user is for ZenML: by variables as everywhere, else by `zenml login`, as ZenML's own client keeps it.

Read from ZenML's files, as importing ZenML takes seconds. Source: `zenml/config/global_config.py`,
`zenml/login/credentials_store.py` of ZenML 0.98.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import yaml


@dataclass(frozen=True, kw_only=True)
class ZenMLLogin:
    """A ZenML server, and who the user is there.

    Args:
        url: address of the server; '' where none is known.
        api_key: API key of a service account; '' for none.
        token: access token; '' for none.
        stack: id of the active stack; '' for none.
        source: where this was found, in words.
    """

    url: str = ""
    api_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    stack: str = ""
    source: str = ""

    @classmethod
    def find(cls, environ: Mapping[str, str], folder: Path) -> ZenMLLogin:
        """Looks in the variables first, then in ZenML's own files.

        Args:
            environ: environment variables, of which those named `ZENML_*` count.
            folder: folder of the user's project, where `zenml init` may have been.
        """
        home = home_of(environ)
        kept = _read(home / "config.yaml")
        of_project = _of_project(folder)
        url = environ.get("ZENML_STORE_URL") or _url(kept)
        found = cls(
            url=url.rstrip("/"),
            api_key=environ.get("ZENML_STORE_API_KEY", ""),
            token=environ.get("ZENML_STORE_API_TOKEN", ""),
            stack=environ.get("ZENML_ACTIVE_STACK_ID") or _text(of_project or kept, "active_stack_id"),
            source="ZENML_STORE_URL" if environ.get("ZENML_STORE_URL") else str(home),
        )
        if not url or found.api_key or found.token:
            return found
        for known, credentials in _read(home / "credentials.yaml").items():
            if known.rstrip("/") == found.url and isinstance(credentials, Mapping):
                token = credentials.get("api_token")
                return cls(
                    url=found.url,
                    api_key=_text(credentials, "api_key"),
                    token=_text(token, "access_token") if isinstance(token, Mapping) else "",
                    stack=found.stack,
                    source=found.source,
                )
        return found


def home_of(environ: Mapping[str, str]) -> Path:
    """Where ZenML keeps configuration, keys and tokens.

    Args:
        environ: environment variables.
    """
    return Path(environ.get("ZENML_CONFIG_PATH") or click.get_app_dir("zenml"))


def _of_project(folder: Path) -> Mapping[str, Any]:
    """What `zenml init` keeps in the project's folder, or in one around it."""
    for place in (folder, *folder.parents):
        if found := _read(place / ".zen/config.yaml"):
            return found
    return {}


def _url(kept: Mapping[str, Any]) -> str:
    store = kept.get("store")
    url = _text(store, "url") if isinstance(store, Mapping) else ""
    # A database on this machine is no server that a studio could reach.
    return url if re.match("https?://", url) else ""


def _text(kept: Mapping[str, Any], name: str) -> str:
    return str(kept.get(name) or "")


def _read(path: Path) -> Mapping[str, Any]:
    """What a file of ZenML's holds; nothing where there is none, or it can't be read."""
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return told if isinstance(told, Mapping) else {}
