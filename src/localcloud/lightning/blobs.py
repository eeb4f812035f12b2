"""Files of studios and of the teamspace's drive.

These endpoints are snake_case and no model of the SDK describes them.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from starlette.responses import FileResponse, Response

from .accounts import Accounts
from .entities import Studio
from .knobs import Knobs
from .server import ApiError, Call, Route
from .studios import Studios
from .validation import InvalidError, check

_STUDIO = "/v1/projects/{projectId}/artifacts/cloudspaces/{id}"
_DRIVE = "/v1/projects/{projectId}/artifacts"
_HOME_PREFIX = "teamspace/studios/this_studio/"
_TREE_QUERY = ("recursive", "cursor", "atMost", "clusterId")


@dataclass
class _Upload:
    """A file under way: its parts arrive through signed URLs, then it is put in place."""

    project_id: str
    studio_id: str | None
    path: str
    parts: int
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    stored: dict[int, tuple[Path, str]] = field(default_factory=dict)


class Blobs:
    """Handlers of the file operations.

    Args:
        root: the cloud's folder.
        url: of the server, for signed URLs.
        studios: whose homes are read and written.
        accounts: knows the teamspaces.
        knobs: late files, prefix of the home.
    """

    def __init__(self, root: Path, url: str, studios: Studios, accounts: Accounts, knobs: Knobs) -> None:
        self._drive = root / "drive"
        self._url = url
        self._studios = studios
        self._accounts = accounts
        self._knobs = knobs
        self._uploads: dict[str, _Upload] = {}

    def routes(self) -> list[Route]:
        """All of them; those of studios first, as the drive's would match them too."""
        routes = [Route("PUT", "/storage/{upload}/{part}", self._store, public=True, stores=True)]
        for base in (_STUDIO, _DRIVE):
            routes += [
                Route("POST", f"{base}/blobs", self._sign, check_body=_check_sign),
                Route("POST", f"{base}/blobs/complete", self._complete, check_body=_check_complete),
                Route("GET", f"{base}/blobs/{{path:path}}", self._download, query=("clusterId",)),
                Route("DELETE", f"{base}/blobs/{{path:path}}", self._delete_blob, query=("clusterId",)),
                Route("GET", f"{base}/trees/{{path:path}}", self._tree, query=_TREE_QUERY),
                Route("DELETE", f"{base}/trees/{{path:path}}", self._delete_tree, query=("clusterId",)),
            ]
        return routes

    def _sign(self, call: Call) -> Any:
        self._scope(call)
        return {"results": [self._sign_one(call, blob) for blob in call.json["blobs"]]}

    def _sign_one(self, call: Call, blob: dict[str, Any]) -> dict[str, Any]:
        if upload_id := blob.get("upload_id"):
            upload = self._upload(upload_id)
            return {"upload_id": upload.id, "urls": self._urls(upload, blob["part_numbers"]), "complete_required": True}
        parts = blob.get("parts", 1)
        upload = _Upload(call.params["projectId"], call.params.get("id"), blob["path"], parts)
        self._uploads[upload.id] = upload
        urls = self._urls(upload, range(1, parts + 1))
        return {
            "upload_id": upload.id if parts > 1 else "",
            "urls": urls,
            "complete_required": parts > 1 or upload.studio_id is not None,
        }

    def _urls(self, upload: _Upload, numbers: Iterable[int]) -> list[dict[str, Any]]:
        return [{"url": f"{self._url}/storage/{upload.id}/{number}", "part_number": number} for number in numbers]

    def _store(self, call: Call) -> Any:
        upload = self._upload(call.params["upload"])
        assert call.file is not None
        with call.file.open("rb") as file:
            etag = f'"{hashlib.file_digest(file, "md5").hexdigest()}"'
        upload.stored[int(call.params["part"])] = (call.file, etag)
        if upload.parts == 1 and upload.studio_id is None:
            self._place(upload)
        return Response(headers={"ETag": etag})

    def _complete(self, call: Call) -> Any:
        scope = (call.params["projectId"], call.params.get("id"))
        for blob in call.json["blobs"]:
            upload_id = blob.get("upload_id")
            found = [
                upload
                for upload in self._uploads.values()
                if (upload.project_id, upload.studio_id, upload.path) == (*scope, blob["path"])
                and upload_id in (None, "", upload.id)
            ]
            if not found:
                raise ApiError(5, f"no upload of {blob['path']} is under way")
            upload = found[-1]
            parts = {part["part_number"]: part["etag"] for part in blob.get("parts") or ()}
            stored = {number: etag for number, (_, etag) in upload.stored.items()}
            if len(stored) != upload.parts or (upload.parts > 1 and parts != stored):
                raise ApiError(9, f"the parts of {upload.path} are not complete")
            self._place(upload)
        return {}

    def _place(self, upload: _Upload) -> None:
        del self._uploads[upload.id]
        whole, _ = upload.stored[1]
        with whole.open("ab") as target:
            for number in range(2, upload.parts + 1):
                part, _ = upload.stored[number]
                with part.open("rb") as source:
                    shutil.copyfileobj(source, target)
                part.unlink()
        whole.chmod(0o644)
        studio, target_path = self._target(upload.project_id, upload.studio_id, upload.path)
        instance = studio.in_use if studio is not None else None
        if studio is not None and instance is not None and self._knobs.storage_delay_seconds and not instance.set_up:
            seen = instance.setup_seconds + self._knobs.storage_delay_seconds
            studio.late_files.append((whole, target_path, seen))
            return
        target_path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(whole, target_path)

    def _download(self, call: Call) -> Any:
        studio, path = self._target(call.params["projectId"], call.params.get("id"), call.params["path"])
        # Storage has at once what the running studio sees late.
        for late, target, _ in studio.late_files if studio is not None else ():
            if target == path:
                path = late
        if not path.is_file():
            raise ApiError(5, f"{call.params['path']} not found")
        return FileResponse(path, media_type="application/octet-stream")

    def _delete_blob(self, call: Call) -> Any:
        _, path = self._target(call.params["projectId"], call.params.get("id"), call.params["path"])
        path.unlink(missing_ok=True)
        return Response(status_code=204)

    def _delete_tree(self, call: Call) -> Any:
        studio, path = self._target(call.params["projectId"], call.params.get("id"), call.params["path"])
        if studio is not None and path == studio.home:
            raise ApiError(3, "the home can't be deleted")
        shutil.rmtree(path, ignore_errors=True)
        return Response(status_code=204)

    def _tree(self, call: Call) -> Any:
        studio, folder = self._target(call.params["projectId"], call.params.get("id"), call.params["path"])
        entries = _entries(folder, recursive=call.query.get("recursive") == "true")
        for late, target, _ in studio.late_files if studio is not None else ():
            if target.is_relative_to(folder):
                entries.append(_entry(late, target.relative_to(folder)))
        start = int(call.query.get("cursor") or 0)
        end = start + int(call.query.get("atMost") or 1000)
        page: dict[str, Any] = {"tree": entries[start:end]}
        if end < len(entries):
            page["nextCursor"] = str(end)
        return page

    def _upload(self, upload_id: str) -> _Upload:
        if upload_id not in self._uploads:
            raise ApiError(5, f"upload {upload_id} not found")
        return self._uploads[upload_id]

    def _scope(self, call: Call) -> None:
        """Raise ApiError (404) when there is no such teamspace or studio."""
        self._target(call.params["projectId"], call.params.get("id"), "")

    def _target(self, project_id: str, studio_id: str | None, path: str) -> tuple[Studio | None, Path]:
        teamspace = self._accounts.teamspace(project_id)
        if studio_id is not None:
            studio = self._studios.get(teamspace.id, studio_id)
            if self._knobs.strip_home_prefix:
                path = path.removeprefix(_HOME_PREFIX)
            return studio, _inside(studio.home, path)
        first, *rest = PurePosixPath(path.strip("/")).parts or ("",)
        if first == "studios" and rest:
            for studio in self._studios.present(teamspace.id):
                if studio.name == rest[0]:
                    return studio, _inside(studio.home, "/".join(rest[1:]))
            raise ApiError(5, f"studio {rest[0]} not found")
        return None, _inside(self._drive / teamspace.id, path)


def _inside(folder: Path, path: str) -> Path:
    target = PurePosixPath(path.strip("/"))
    if ".." in target.parts:
        raise ApiError(3, f"invalid path {path!r}")
    return folder / target


def _entries(folder: Path, *, recursive: bool) -> list[dict[str, Any]]:
    if not folder.is_dir():
        return []
    # As in a bucket: with `recursive` only files, otherwise the folder's own files and folders.
    found = sorted(folder.rglob("*") if recursive else folder.iterdir())
    return [
        _entry(path, path.relative_to(folder)) for path in found if path.is_file() or (path.is_dir() and not recursive)
    ]


def _entry(path: Path, name: Path) -> dict[str, Any]:
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat().replace("+00:00", "Z")
    entry: dict[str, Any] = {"path": str(name), "type": "tree" if path.is_dir() else "blob", "lastModified": changed}
    if path.is_file() and (size := path.stat().st_size):
        entry["size"] = size
    return entry


def _check_sign(body: Any) -> None:
    fields = {
        "content_type": "str",
        "upload_id": "str",
        "part_numbers": "list[int]",
        "parts": "int",
        "part_size": "int",
    }
    _check_blobs(body, fields)


def _check_complete(body: Any) -> None:
    _check_blobs(body, {"upload_id": "str", "parts": "list[object]"})
    for blob in body["blobs"]:
        for part in blob.get("parts") or ():
            if set(part) != {"part_number", "etag"}:
                raise InvalidError("a part is part_number and etag")


def _check_blobs(body: Any, fields: dict[str, str]) -> None:
    if (
        not isinstance(body, dict)
        or not isinstance(body.get("blobs"), list)
        or not set(body) <= {"blobs", "cluster_id"}
    ):
        raise InvalidError("the body is blobs and, perhaps, cluster_id")
    for blob in body["blobs"]:
        if not isinstance(blob, dict) or not blob.get("path"):
            raise InvalidError("a blob has a path")
        for name, value in blob.items():
            if name not in {"path", *fields}:
                raise InvalidError(f"a blob has no field {name!r}")
            check({"path": "str", **fields}[name], value, name)
