"""What a launch uploads, as one file: three requests instead of nine, and one digest to wait for."""

from __future__ import annotations

import hashlib
import shlex
import tarfile
from collections.abc import Mapping
from pathlib import Path

from lightning_zenml.launch.payload.layout import UNPACKING

_PATIENCE = 120
"""Half seconds until the studio must see an upload: its storage may lag by some 30 s."""
NOT_ARRIVED = 66
"""Exit code of the unpacking when the bundle never shows up whole."""
NOT_UNPACKED = 67
"""Exit code of the unpacking when it fails, on a full disk above all; what it says tells why."""


def write(files: Mapping[str, Path], destination: Path) -> str:
    """Writes a tar of `files` (path in the tar -> local file), readable by its owner only.

    Args:
        files: path of the local file by where it belongs on the studio; with `.gz` behind that, it is sent compressed.
        destination: path of the tar.

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

    What is there under its name is whole: files are unpacked beside their places and moved there.

    Args:
        home: our folder in the studio's home.
        bundle: where in `home` the bundle is uploaded to.
        sha256: of the bundle.
    """
    name, within, check = shlex.quote(bundle), shlex.quote(bundle + UNPACKING), shlex.quote(f"{sha256}  {bundle}")
    return f"""mkdir -p "$HOME/{home}" && cd "$HOME/{home}" || exit {NOT_UNPACKED}
wait_for() {{ for _ in $(seq {_PATIENCE}); do "$@" && return; sleep 0.5; done; exit {NOT_ARRIVED}; }}
arrived() {{ test -e {name}.unpacked || echo {check} | sha256sum --check --status 2>/dev/null; }}
unpack() {{ mkdir -p {within} && tar -xf {name} -C {within} && inflate && place && rm -r {name} {within} \
&& touch {name}.unpacked; }}
inflate() {{ find {within} -type f -name '*.gz' -exec gunzip -f {{}} +; }}
place() {{ (cd {within} && find . -type f) | while read -r file; do
mkdir -p "$(dirname "$file")" && mv -f {within}/"$file" "$file" || return; done; }}
done_or_failed() {{ test -e {name}.unpacked && return; mkdir {name}.lock 2>/dev/null || return
unpack && return; rm -rf {within}; rmdir {name}.lock; exit {NOT_UNPACKED}; }}
wait_for arrived
wait_for done_or_failed"""


def _for_owner_only(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mode, entry.uid, entry.gid, entry.uname, entry.gname = 0o600, 0, 0, "", ""
    return entry
