"""What a launch uploads, as one file: three requests instead of nine, and one digest to wait for."""

from __future__ import annotations

import hashlib
import shlex
import tarfile
from collections.abc import Mapping
from pathlib import Path

_PATIENCE = 120
"""Half seconds until the studio must see an upload: its storage may lag by some 30 s."""
NOT_ARRIVED = 66
"""Exit code of the unpacking when the bundle never shows up whole."""


def write(files: Mapping[str, Path], destination: Path) -> str:
    """Writes a tar of `files` (path in the tar -> local file), readable by its owner only.

    Returns:
        The sha256 of the tar, hex.
    """
    destination.touch(mode=0o600)
    with tarfile.open(destination, "w") as tar:
        for name, path in files.items():
            tar.add(path, name, filter=_for_owner_only)
    with destination.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack_command(home: str, bundle: str, sha256: str) -> str:
    """Bash that waits for the bundle and unpacks it, once however often it is run; it ends when that is done.

    Args:
        home: our folder in the studio's home.
        bundle: where in `home` the bundle is uploaded to.
        sha256: of the bundle.
    """
    name, check = shlex.quote(bundle), shlex.quote(f"{sha256}  {bundle}")
    return f"""cd "$HOME/{home}" || exit {NOT_ARRIVED}
wait_for() {{ for _ in $(seq {_PATIENCE}); do "$@" && return; sleep 0.5; done; exit {NOT_ARRIVED}; }}
arrived() {{ test -e {name}.unpacked || echo {check} | sha256sum --check --status 2>/dev/null; }}
wait_for arrived
if mkdir {name}.lock 2>/dev/null; then tar -xf {name} && rm {name} && touch {name}.unpacked; fi
wait_for test -e {name}.unpacked"""


def _for_owner_only(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mode, entry.uid, entry.gid, entry.uname, entry.gname = 0o600, 0, 0, "", ""
    return entry
