"""The API of studios ("cloudspaces"): translates between requests and `Studios`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from .accounts import Accounts
from .computer.sessions import Session
from .entities import Instance, Phase, Studio
from .knobs import Knobs
from .machines import cluster
from .server import ApiError, Call, Later, Route
from .studios import Studios

_ALL = "/v1/projects/{projectId}/cloudspaces"
_ONE = f"{_ALL}/{{id}}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_CHUNK = 16_384


class StudioRoutes:
    """Handlers of the studios' operations.

    Args:
        studios: what they act on.
        accounts: knows the teamspaces.
        knobs: the size of a page.
    """

    def __init__(self, studios: Studios, accounts: Accounts, knobs: Knobs) -> None:
        self._studios = studios
        self._accounts = accounts
        self._knobs = knobs

    def routes(self) -> list[Route]:
        """All of them."""
        body = "CloudSpaceService{}Body".format
        config = "V1CloudSpaceInstanceConfig"
        result = "V1{}Response".format
        listing = ("clusterId", "pageToken", "limit", "name", "userId")
        return [
            Route("POST", _ALL, self._create, body=body("CreateCloudSpace"), answer="V1CloudSpace"),
            Route("GET", _ALL, self._list, query=listing, answer=result("ListCloudSpaces")),
            Route(
                "POST",
                f"{_ALL}/{{cloudspaceId}}/runs",
                self._create_run,
                body=body("CreateLightningRun"),
                answer="V1LightningRun",
            ),
            Route("GET", _ONE, self._get, answer="V1CloudSpace"),
            Route("PUT", _ONE, self._update, body=body("UpdateCloudSpace"), answer="V1CloudSpace"),
            Route("DELETE", _ONE, self._delete, answer=result("DeleteCloudSpace")),
            Route("GET", f"{_ONE}/codestatus", self._status, answer=result("GetCloudSpaceInstanceStatus")),
            Route("GET", f"{_ONE}/codeconfig", self._config, answer=config),
            Route(
                "PUT", f"{_ONE}/codeconfig", self._switch, body=body("UpdateCloudSpaceInstanceConfig"), answer=config
            ),
            Route("PUT", f"{_ONE}/sleepconfig", self._sleep, body=body("UpdateCloudSpaceSleepConfig"), answer=config),
            Route(
                "POST",
                f"{_ONE}/start",
                self._start,
                body=body("StartCloudSpaceInstance"),
                answer=result("StartCloudSpaceInstance"),
            ),
            Route("POST", f"{_ONE}/stop", self._stop, query=("force",), answer=result("StopCloudSpaceInstance")),
            Route(
                "POST",
                f"{_ONE}/switch-confirm",
                self._confirm_switch,
                query=("skipRunningCheck",),
                answer=result("SwitchCloudSpaceInstance"),
            ),
            Route(
                "POST",
                f"{_ONE}/keep-alive",
                self._keep_alive,
                body=body("KeepAliveCloudSpaceInstance"),
                answer=result("KeepAliveCloudSpaceInstance"),
            ),
            Route(
                "POST",
                f"{_ONE}/execute",
                self._execute,
                body=body("ExecuteCommandInCloudSpace"),
                answer=result("ExecuteCloudSpaceCommand"),
            ),
            Route(
                "GET", f"{_ONE}/execute/{{session}}", self._session, answer=result("GetLongRunningCommandInCloudSpace")
            ),
            Route("GET", f"{_ONE}/execute/{{session}}/stream", self._stream),
        ]

    def _create(self, call: Call) -> Any:
        teamspace = self._accounts.teamspace(call.params["projectId"])
        name = call.json.get("name", "")
        if not _NAME.fullmatch(name):
            raise ApiError(3, f"invalid cloudspace name {name!r}")
        account = cluster(call.json.get("clusterId") or "lightning-public-prod")
        seeds = {seed["path"]: seed.get("contents", "") for seed in call.json.get("seedFiles") or ()}
        secret = bool(call.json.get("disableSecrets"))
        return self._view(self._studios.create(name, teamspace.id, account, seeds, disable_secrets=secret))

    def _create_run(self, call: Call) -> Any:
        studio = self._studios.get(call.params["projectId"], call.params["cloudspaceId"])
        return {"id": f"run-{studio.id}", "cloudspaceId": studio.id, "clusterId": studio.cluster.id}

    def _list(self, call: Call) -> Any:
        teamspace = self._accounts.teamspace(call.params["projectId"])
        found = [
            studio
            for studio in self._studios.present(teamspace.id)
            if call.query.get("name", studio.name) == studio.name
            and call.query.get("clusterId", studio.cluster.id) == studio.cluster.id
            and call.query.get("userId", self._accounts.user_id) in ("", self._accounts.user_id)
        ]
        start = int(call.query.get("pageToken") or 0)
        end = start + int(call.query.get("limit") or self._knobs.page_size)
        token = str(end) if end < len(found) else ""
        return {"cloudspaces": [self._view(studio) for studio in found[start:end]], "nextPageToken": token}

    def _get(self, call: Call) -> Any:
        return self._view(self._find(call))

    def _update(self, call: Call) -> Any:
        studio = self._find(call)
        fields = dict(call.json)
        if (env := fields.pop("env", None)) is not None:
            studio.env = {variable["name"]: variable.get("value", "") for variable in env}
        studio.display_name = fields.pop("displayName", None) or studio.display_name
        studio.other_fields.update(fields)
        return self._view(studio)

    def _delete(self, call: Call) -> Any:
        self._studios.delete(self._find(call))

    def _status(self, call: Call) -> Any:
        return _status(self._find(call))

    def _config(self, call: Call) -> Any:
        return _config(self._find(call))

    def _switch(self, call: Call) -> Any:
        studio = self._find(call)
        wanted = call.json.get("computeConfig") or {}
        self._studios.request_switch(
            studio, _machine(wanted), spot=bool(wanted.get("spot")), cluster=wanted.get("clusterOverride") or ""
        )
        return _config(studio)

    def _sleep(self, call: Call) -> Any:
        studio = self._find(call)
        if "disableAutoShutdown" in call.json:
            studio.disable_auto_shutdown = call.json["disableAutoShutdown"]
        if "idleShutdownSeconds" in call.json:
            studio.idle_shutdown_seconds = int(call.json["idleShutdownSeconds"])
        return _config(studio)

    def _start(self, call: Call) -> Any:
        wanted = call.json.get("computeConfig") or {}
        self._studios.start(self._find(call), _machine(wanted), spot=bool(wanted.get("spot")))

    def _stop(self, call: Call) -> Any:
        self._studios.stop(self._find(call))

    def _confirm_switch(self, call: Call) -> Any:
        self._studios.confirm_switch(self._find(call))

    def _keep_alive(self, call: Call) -> Any:
        self._studios.keep_awake(self._find(call))

    def _execute(self, call: Call) -> Any:
        studio, is_detached = self._find(call), call.json.get("detached")
        if not is_detached and not self._knobs.waits_for_commands:
            raise ApiError(12, "only detached commands")
        name = self._studios.execute(studio, call.json.get("command", "")).name

        def look() -> Any:
            answer = next(_results(self._studios.session(studio, name), chunk=None))
            return None if answer["exitCode"] == -1 else {"sessionName": name, **answer}

        return {"sessionName": name, "output": "", "exitCode": -1} if is_detached else Later(look)

    def _session(self, call: Call) -> Any:
        return next(_results(self._studios.session(self._find(call), call.params["session"]), chunk=None))

    def _stream(self, call: Call) -> Any:
        session = self._studios.session(self._find(call), call.params["session"])
        lines = [json.dumps({"result": result}) for result in _results(session, chunk=_CHUNK)]
        return Response("\n".join(lines) + "\n", media_type="application/json")

    def _find(self, call: Call) -> Studio:
        return self._studios.get(self._accounts.teamspace(call.params["projectId"]).id, call.params["id"])

    def _view(self, studio: Studio) -> dict[str, Any]:
        return {
            **studio.other_fields,
            "id": studio.id,
            "name": studio.name,
            "displayName": studio.display_name,
            "projectId": studio.project_id,
            "userId": self._accounts.user_id,
            "clusterId": studio.cluster.id,
            "createdAt": _time(studio.created),
            "disableSecrets": studio.disable_secrets,
            "environmentTemplateId": "standard",
            "env": [{"name": name, "value": value} for name, value in studio.env.items()],
            "state": "CLOUD_SPACE_STATE_READY",
            "codeStatus": _status(studio),
            "codeConfig": _config(studio),
        }


def _machine(compute: dict[str, Any]) -> str:
    if not compute.get("name"):
        raise ApiError(3, "computeConfig.name is required")
    return str(compute["name"])


def _results(session: Session, *, chunk: int | None) -> Iterator[dict[str, Any]]:
    code = session.exit_code
    if code is None:
        yield {"exitCode": -1, "output": ""}
        return
    try:
        output = session.output.decode()
    except UnicodeDecodeError as error:
        raise ApiError(13, "grpc: error while marshaling: string field contains invalid UTF-8") from error
    size = chunk or max(1, len(output))
    for start in range(0, max(1, len(output)), size):
        yield {"exitCode": code, "output": output[start : start + size]}


def _status(studio: Studio) -> dict[str, Any]:
    names = {"inUse": studio.in_use, "requested": studio.requested}
    return {name: _instance(studio, instance) for name, instance in names.items() if instance is not None}


def _instance(studio: Studio, instance: Instance) -> dict[str, Any]:
    view: dict[str, Any] = {
        "cloudSpaceId": studio.id,
        "cloudSpaceInstanceId": instance.id,
        "clusterId": studio.cluster.id,
        "computeConfig": {"name": instance.offer.machine.slug, "spot": instance.spot},
        "creationTimestamp": _time(instance.created),
        "phase": instance.phase,
        "price": instance.price,
        "publicIpAddress": "127.0.0.1",
        "statusMessage": instance.message,
        "startupStatus": {
            "initialRestoreFinished": instance.phase is Phase.RUNNING,
            "topUpRestoreFinished": instance.restored,
        },
    }
    if instance.started is not None:
        view["startTimestamp"] = _time(instance.started)
    return view


def _config(studio: Studio) -> dict[str, Any]:
    view: dict[str, Any] = {"disableAutoShutdown": studio.disable_auto_shutdown, "ide": "vscode"}
    if studio.idle_shutdown_seconds is not None:
        view["idleShutdownSeconds"] = studio.idle_shutdown_seconds
    if studio.in_use is not None:
        view["computeConfig"] = {"name": studio.in_use.offer.machine.slug, "spot": studio.in_use.spot}
    return view


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
