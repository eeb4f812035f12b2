"""A reverse proxy before one service: it passes calls on, or lets happen to them what its plan says."""

from __future__ import annotations

import contextlib
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from localcloud.chaos.calls import Call, Calls, route_of
from localcloud.chaos.fault import Answer, Fault
from localcloud.chaos.plan import Plan, Rule
from localcloud.chaos.upstream import Request, Upstream
from localcloud.chaos.wire import Connection, Listener

ANY = ".*"


class Proxy:
    """Stands before a service on a free port of 127.0.0.1, while the context is open.

    Args:
        name: of the service: `lightning`, `github`, `zenml` or `s3`.
        upstream: base URL of the service.
        addresses: URL of a service -> URL of its proxy, for every one that answers may name; looked at per call.
        calls: where calls are recorded; proxies may share it.
        seed: of what happens at random.
        certificate: PEM file with the proxy's key and certificate, see `localcloud.tls`; None: plain HTTP.
        trusted: PEM file of the authority that certified the service, when that speaks TLS.

    Attributes:
        url: to be used instead of `upstream`.
    """

    def __init__(
        self,
        name: str,
        upstream: str,
        *,
        addresses: Mapping[str, str] | None = None,
        calls: Calls | None = None,
        seed: int = 0,
        certificate: Path | None = None,
        trusted: Path | None = None,
    ) -> None:
        self.name = name
        self.calls = Calls() if calls is None else calls
        tls = None
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
        self._upstream = Upstream(upstream, {} if addresses is None else addresses, trusted)
        self._plan = Plan(f"{seed} {name}")
        self._away_until = 0.0
        self._closing = threading.Event()
        self._listener = Listener(self._serve, tls)
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.port}{self._upstream.base}"

    def __enter__(self) -> Proxy:
        self._listener.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._listener.stop()

    def fault(
        self,
        fault: Fault,
        method: str = ANY,
        route: str = ANY,
        *,
        nth: int | None = None,
        every: int | None = None,
        share: float | None = None,
        times: int | None = None,
    ) -> Rule:
        """Lets a fault happen, from now on; see `Rule` for the arguments.

        Returns:
            The rule: `seen` and `met` tell how often it applied.
        """
        return self._plan.add(Rule(fault, method, route, nth=nth, every=every, share=share, times=times))

    def clear(self) -> None:
        """From now on all goes well."""
        self._plan.clear()
        self._away_until = 0.0

    def go_away(self, seconds: float) -> None:
        """Resets every connection, those that are open too, for so long."""
        self._away_until = time.monotonic() + seconds
        self._listener.cut()

    @contextmanager
    def cutting_connections(self, seconds: float) -> Iterator[None]:
        """Cuts all open connections again and again, idle or not.

        Args:
            seconds: between two cuts, on average.
        """
        chance, ended = random.Random(self.name), threading.Event()

        def cut() -> None:
            while not ended.wait(seconds * chance.uniform(0.5, 1.5)):
                self._listener.cut()

        cutter = threading.Thread(target=cut, name=f"{self.name}-cutter", daemon=True)
        cutter.start()
        try:
            yield
        finally:
            ended.set()
            cutter.join()

    @property
    def met(self) -> list[Call]:
        """The calls of this service that met a fault."""
        return [call for call in self.calls if call.service == self.name and call.fault]

    def _serve(self, request: Request, connection: Connection) -> None:
        route = route_of(request.path)
        position = self.calls.position(self.name, request.method, route)
        call = Call(service=self.name, method=request.method, route=route, path=request.path, position=position)
        fault = self._plan.fault(request.method, route)
        if time.monotonic() < self._away_until:
            fault = Fault(name="away")
        if fault is not None:
            call = replace(call, fault=fault.name)
        status, deliver = 0, connection.reset
        try:
            status, deliver = (
                self._passed_on(request, connection) if fault is None else self._spoiled(fault, request, connection)
            )
        finally:
            # Before its client has the answer: a test that has it looks for the call.
            self.calls.end(replace(call, status=status))
        deliver()

    def _passed_on(self, request: Request, connection: Connection) -> tuple[int, Callable[[], None]]:
        answer = None
        with contextlib.suppress(OSError):
            answer = self._upstream.ask(request)
        if answer is None:
            return 0, connection.reset
        return answer.status, partial(connection.send, answer)

    def _spoiled(self, fault: Fault, request: Request, connection: Connection) -> tuple[int, Callable[[], None]]:
        self._closing.wait(fault.pause)
        if fault.outage:
            self.go_away(fault.outage)
        answer: Answer | None = None
        if fault.carried_out:
            with contextlib.suppress(OSError):
                answer = self._upstream.ask(request)
        if fault.spoil is None or (fault.carried_out and answer is None):
            return 0, connection.reset
        answer = fault.spoil(answer)
        if fault.cut:
            return answer.status, partial(connection.send_half, answer)
        if fault.drip:
            return answer.status, partial(connection.send, answer, pause=lambda: self._closing.wait(fault.drip))
        return answer.status, partial(connection.send, answer)
