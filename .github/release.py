"""What a release needs: `release.py check`, `version`, `notes`, `pin DIGEST`, `agree TAG DIGEST`; see CONTRIBUTING.md.

`check` tells whether CHANGELOG.md has this version, and prints its `tag` and the `base` of the image; `pin` makes
action.yml run the published image with this digest instead of building one, and composite/action.yml the tag's own
post; `agree` tells whether tag, version, CHANGELOG.md and both action.yml agree; `notes` prints the changelog of this
version.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGE = "docker://ghcr.io/org/lightning-zenml-action"
_IMAGE_LINE = re.compile(r"^  image: (.+)$", re.MULTILINE)
_POST_LINE = re.compile(r"^(      uses: org/lightning-zenml-action/composite/post@)(\S+)$", re.MULTILINE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def main(arguments: list[str]) -> int:
    """Runs the command line; returns its exit code."""
    match arguments:
        case ["check"]:
            notes(ROOT)
            print(f"tag=v{version(ROOT)}\nbase={base(ROOT)}")
        case ["version"]:
            print(version(ROOT))
        case ["pin", digest]:
            pin(ROOT, digest)
        case ["agree", tag, digest]:
            problems = disagreements(ROOT, tag, digest)
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


def base(root: Path) -> str:
    """The base of a release's image, by digest.

    Raises:
        ValueError: if none is named, or not by digest.
    """
    (found,) = re.findall(r"^FROM (\S+)$", (root / ".github/base/Dockerfile").read_text(), re.MULTILINE)
    if not _DIGEST.fullmatch(found.partition("@")[2]):
        raise ValueError(f"The base {found} is not named by its digest")
    return str(found)


def image(root: Path) -> str:
    """What action.yml runs: `Dockerfile` or `docker://` and a digest."""
    (found,) = _IMAGE_LINE.findall((root / "action.yml").read_text())
    return str(found)


def post(root: Path) -> str:
    """The branch or tag whose post composite/action.yml runs."""
    ((_, found),) = _POST_LINE.findall((root / "composite/action.yml").read_text())
    return str(found)


def pin(root: Path, digest: str) -> None:
    """Makes action.yml run the published image, and composite/action.yml the post of this version's tag.

    Args:
        root: folder of the repository.
        digest: digest of the image, `sha256:` and 64 digits.

    Raises:
        ValueError: if the digest is none.
    """
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no digest")
    path = root / "action.yml"
    path.write_text(_IMAGE_LINE.sub(f"  image: {IMAGE}@{digest}", path.read_text()))
    path = root / "composite/action.yml"
    path.write_text(_POST_LINE.sub(rf"\g<1>v{version(root)}", path.read_text()))


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


def disagreements(root: Path, tag: str, digest: str) -> list[str]:
    """Tells what of a commit does not fit its tag and the digest of its image; empty when all does."""
    problems = []
    if tag != f"v{version(root)}":
        problems.append(f"The tag is {tag}, the version in pyproject.toml {version(root)}")
    if image(root) != f"{IMAGE}@{digest}":
        problems.append(f"action.yml runs {image(root)}, not {IMAGE}@{digest}")
    if post(root) != tag:
        problems.append(f"composite/action.yml runs the post of {post(root)}, not of {tag}")
    try:
        if not notes(root):
            problems.append(f"CHANGELOG.md says nothing of {tag}")
    except ValueError as error:
        problems.append(str(error))
    return problems


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
