"""What makes a site of pages that are written to be read on GitHub: a hook of mkdocs.

README becomes the first page, links out of docs/ lead to GitHub, and nothing may be loaded from elsewhere.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
START = "index.md"
LOADED = re.compile(r"<(?:script|img|iframe|link(?= [^>]*stylesheet))\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^\">]+")


def on_files(files: Files, config: Any) -> Files:
    """README, as it would be written in docs/."""
    text = (ROOT / "README.md").read_text()
    inside = re.sub(r"(\]\()docs/", r"\1", re.sub(r"(\]\()(?!https?:|#|docs/)", r"\1../", text))
    files.append(File.generated(config, START, content=inside))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """The page with links to what is not in docs/ as links to GitHub."""
    markdown = re.sub(r"\]\(\.\./README\.md(#[^)]*)?\)", rf"]({START}\1)", markdown)
    return re.sub(r"\]\(\.\./([^)]+)\)", lambda link: f"]({_on_github(link[1], config.repo_url)})", markdown)


def _on_github(path: str, repository: str) -> str:
    kind = "tree" if (ROOT / path.partition("#")[0]).is_dir() else "blob"
    return f"{repository}/{kind}/main/{path}"


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Refuses a page that loads something from another server."""
    if loaded := LOADED.findall(output):
        raise PluginError(f"{page.file.src_uri} loads from elsewhere: {', '.join(loaded)}")
    return output
