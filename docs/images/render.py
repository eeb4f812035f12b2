"""Renders Markdown as GitHub shows it, Mermaid drawn, to PNGs: the pictures of README, and a look at the golden files.

    .venv/bin/python docs/images/render.py [--dark] [--width PIXELS] [--out FOLDER] FILE.md [FILE.md ...]
    .venv/bin/python docs/images/render.py [...] --only SECTION .cache/demo/NAME.html

Without `--out`, pictures come here. A phone is 390 wide. Tables that are wider scroll sideways, on GitHub as here. Of a
page of `make demo` it takes one section, all unfolded.

Needs npm, for Mermaid and GitHub's style sheet, Chromium, and a font with emojis, such as Noto Color Emoji. Nothing
else in this repository does.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt

PACKAGES = {"mermaid": "11.17.2", "github-markdown-css": "5.9.0"}
"""GitHub doesn't tell its version of Mermaid; this one is of the major version that it draws with."""
WIDTH = 900
PAGE = """<!doctype html><html data-theme="{theme}"><head><meta charset="utf-8">
<style>{css}</style>
<style>
  body {{ margin: 0; padding: 16px 24px; width: {inner}px; background: {background}; }}
  .mermaid {{ background: transparent !important; text-align: center; }}
</style></head>
<body><article class="markdown-body">{body}</article>
<script>{mermaid}</script>
<script>
  mermaid.initialize({{ startOnLoad: false, theme: "{mermaid_theme}", securityLevel: "strict" }});
  mermaid.run().then(() => {{ document.title = "drawn"; }}, error => {{ document.title = "failed: " + error.message; }})
    .then(() => {{ document.body.dataset.height = document.documentElement.scrollHeight; }});
</script></body></html>"""


def main() -> None:
    """Renders the files that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--dark", action="store_true", help="GitHub's dark theme")
    parser.add_argument("--width", type=int, default=WIDTH, help="of the page")
    parser.add_argument("--only", help="id of the section of a page of `make demo`")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        assets = fetch(Path(scratch))
        for file in options.files:
            page = Path(scratch) / f"{file.stem}.html"
            name = file.stem
            if file.suffix == ".html":
                page.write_text(as_section(file.read_text(), options.only, dark=options.dark))
                name = f"demo_{file.stem}_{options.only}"
            else:
                page.write_text(as_page(file.read_text(), assets, dark=options.dark, width=options.width))
            picture = options.out / f"{name}.png"
            take(page, picture, options.width)
            print(f"{picture} ({picture.stat().st_size / 1000:.0f} kB)")


def fetch(folder: Path) -> dict[str, str]:
    """Gets the scripts and style sheets from npm.

    Args:
        folder: for the packages.

    Returns:
        Their texts by file name.
    """
    specs = [f"{name}@{version}" for name, version in PACKAGES.items()]
    subprocess.run(["npm", "pack", "--silent", *specs], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    wanted = {"mermaid.min.js", "github-markdown-light.css", "github-markdown-dark.css"}
    found = {}
    for archive in folder.glob("*.tgz"):
        with tarfile.open(archive) as files:
            for member in files:
                content = files.extractfile(member) if Path(member.name).name in wanted else None
                if content is not None:
                    found[Path(member.name).name] = content.read().decode()
    return found


def as_page(markdown: str, assets: dict[str, str], *, dark: bool, width: int) -> str:
    """Makes a page of Markdown.

    Args:
        markdown: GitHub's flavour.
        assets: as `fetch` gives them.
        dark: GitHub's dark theme.
        width: of the page, in pixels.

    Returns:
        HTML that draws its diagrams by itself and then has the attribute `data-height` on its body.
    """
    body = MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(markdown)
    body = re.sub(
        r'<pre><code class="language-mermaid">(.*?)</code></pre>',
        r'<pre class="mermaid">\1</pre>',
        body,
        flags=re.DOTALL,
    )
    theme = "dark" if dark else "light"
    return PAGE.format(
        theme=theme,
        css=assets[f"github-markdown-{theme}.css"],
        background="#0d1117" if dark else "#ffffff",
        inner=width - 48,
        body=body,
        mermaid=assets["mermaid.min.js"].replace("</script", "<\\/script"),
        mermaid_theme="dark" if dark else "default",
    )


def as_section(page: str, section: str, *, dark: bool) -> str:
    """Makes a page of one section of another one.

    Args:
        page: HTML of `make demo`.
        section: id of the section.
        dark: whether it is shown as where dark is preferred.

    Returns:
        HTML that has the attribute `data-height` on its body, like that of `as_page`.
    """
    head = page[: page.index("<header>")]
    # What it forbids is what tells the height.
    head = re.sub(r"<meta http-equiv[^>]*>", "", head)
    if dark:
        head = head.replace("@media (prefers-color-scheme: dark)", "@media all")
    start = page.index(f'<section id="{section}">')
    body = page[start : page.index("</section>", start)].replace("<details>", "<details open>")
    script = 'document.title = "drawn"; document.body.dataset.height = document.documentElement.scrollHeight;'
    return f"{head}{body}</section><script>{script}</script></body></html>"


def take(page: Path, picture: Path, width: int) -> None:
    """Takes a picture of a whole page.

    Args:
        page: the HTML file.
        picture: the PNG file to write.
        width: of the page, in pixels.

    Raises:
        SystemExit: Mermaid can't draw a diagram of it.
    """
    dom = chromium(page, f"--window-size={width},600", "--dump-dom")
    title = re.search(r"<title>(.*?)</title>", dom)
    height = re.search(r'data-height="(\d+)"', dom)
    if not title or title[1] != "drawn" or not height:
        raise SystemExit(f"{page.name}: {html.unescape(title[1]) if title else 'not drawn in time'}")
    chromium(page, f"--window-size={width},{height[1]}", f"--screenshot={picture.resolve()}", "--hide-scrollbars")


def chromium(page: Path, *arguments: str) -> str:
    """Runs Chromium without a window.

    Args:
        page: to open.
        *arguments: more of the command line.

    Returns:
        What it printed.
    """
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
    command = [
        program,
        "--headless",
        "--disable-gpu",
        "--disable-lcd-text",
        "--virtual-time-budget=30000",
        *arguments,
        page.as_uri(),
    ]
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=300
    )
    return done.stdout


if __name__ == "__main__":
    main()
