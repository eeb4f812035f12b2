"""What a release needs: `python .github/release.py pin|check|notes`, see CONTRIBUTING.md.

`pin` makes action.yml use the published image of this version instead of building one; `check TAG` tells whether the
tag, the version, CHANGELOG.md and action.yml agree; `notes` prints the changelog of this version.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGE = "docker://ghcr.io/org/lightning-zenml-action"
_IMAGE_LINE = re.compile(r"^  image: (.+)$", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Runs the command line; returns its exit code."""
    match arguments:
        case ["pin"]:
            pin(ROOT)
        case ["check", tag]:
            problems = disagreements(ROOT, tag)
            print("\n".join(problems) or f"Everything agrees on {tag}", file=sys.stderr if problems else sys.stdout)
            return int(bool(problems))
        case ["notes"]:
            print(notes(ROOT))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


def version(root: Path) -> str:
    """The version of the package, which is that of the action too."""
    found: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return found


def image(root: Path) -> str:
    """What action.yml runs: `Dockerfile` or `docker://` and a tag."""
    (found,) = _IMAGE_LINE.findall((root / "action.yml").read_text())
    return str(found)


def pin(root: Path) -> None:
    """Makes action.yml run the published image of this version."""
    path = root / "action.yml"
    path.write_text(_IMAGE_LINE.sub(f"  image: {IMAGE}:v{version(root)}", path.read_text()))


def notes(root: Path) -> str:
    """The newest section of CHANGELOG.md, without its heading.

    Raises:
        ValueError: if it is not that of this version.
    """
    _, _, newest = (root / "CHANGELOG.md").read_text().partition("\n## ")
    heading, _, rest = newest.partition("\n")
    if heading.split(" ")[0] != version(root):
        raise ValueError(f"The newest section of CHANGELOG.md is `{heading}`, the version {version(root)}")
    return rest.partition("\n## ")[0].strip()


def disagreements(root: Path, tag: str) -> list[str]:
    """Tells what of a tagged commit does not fit the tag; empty when all does."""
    problems = []
    if tag != f"v{version(root)}":
        problems.append(f"The tag is {tag}, the version in pyproject.toml {version(root)}")
    if image(root) != f"{IMAGE}:{tag}":
        problems.append(f"action.yml runs {image(root)}, not {IMAGE}:{tag}")
    try:
        if not notes(root):
            problems.append(f"CHANGELOG.md says nothing of {tag}")
    except ValueError as error:
        problems.append(str(error))
    return problems


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
