"""Our own distribution as a wheel, re-packed from what is installed: client and studio always match."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib import metadata
from pathlib import Path

import lightning_zenml

_DISTRIBUTION = "lightning-zenml"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def repack(folder: Path) -> Path:
    """Writes the wheel into `folder`; the same installation gives the same bytes.

    Args:
        folder: folder that the wheel is written to.

    Returns:
        Path of the wheel.
    """
    distribution = metadata.distribution(_DISTRIBUTION)
    name = f"lightning_zenml-{distribution.version}"
    info = f"{name}.dist-info"
    package = Path(lightning_zenml.__file__).parent
    contents = {
        f"lightning_zenml/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    # The build moves the overlay out of the package; a source tree still has it there.
    overlay = contents.pop("lightning_zenml/overlay.pth", None)
    contents["lightning_zenml.pth"] = overlay or (package.parent / "lightning_zenml.pth").read_bytes()
    contents[f"{info}/METADATA"] = (distribution.read_text("METADATA") or "").encode()
    contents[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: lightning-zenml\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    if entry_points := distribution.read_text("entry_points.txt"):
        contents[f"{info}/entry_points.txt"] = entry_points.encode()
    record = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in sorted(contents.items())]
    contents[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    wheel = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return wheel


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
