"""Reverse proxies before the services of a stack, which let tests say what goes wrong on the way.

with chaos(stack) as proxied:
    proxied.lightning.fault(Fault.html(), "GET", r"/v1/.*/cloudspaces/{id}", nth=3)
    ...  # a real client, with `proxied.environment`
    assert proxied.lightning.met
"""

from localcloud.chaos.calls import Call, Calls, Position, route_of
from localcloud.chaos.fault import Answer, Fault
from localcloud.chaos.proxy import Proxy
from localcloud.chaos.stack import Chaos, chaos

__all__ = ["Answer", "Call", "Calls", "Chaos", "Fault", "Position", "Proxy", "chaos", "route_of"]
