"""Proxies before all services of a stack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from localcloud.chaos.calls import Calls
from localcloud.chaos.proxy import Proxy
from localcloud.stack import Stack


class Chaos:
    """A stack whose clients go through proxies.

    Args:
        stack: the services behind them.
        seed: of what happens at random.

    Attributes:
        calls: every call to any of them.
        environment: of a client, as `Stack.environment`, with the proxies' addresses.
    """

    def __init__(self, stack: Stack, seed: int) -> None:
        self.calls = Calls()
        urls = {"zenml": stack.zenml_url, "s3": stack.s3_url}
        if stack.lightning is not None:
            urls["lightning"] = stack.lightning.url
        if stack.github is not None:
            urls["github"] = stack.github.url
        addresses: dict[str, str] = {}
        self.proxies = {
            name: Proxy(name, url, addresses=addresses, calls=self.calls, seed=seed) for name, url in urls.items()
        }
        addresses |= {url: self.proxies[name].url for name, url in urls.items()}
        self.environment = {name: addresses.get(value, value) for name, value in stack.environment.items()}

    @property
    def lightning(self) -> Proxy:
        """The one before Lightning AI."""
        return self.proxies["lightning"]

    @property
    def github(self) -> Proxy:
        """The one before GitHub."""
        return self.proxies["github"]

    @property
    def zenml(self) -> Proxy:
        """The one before the ZenML server."""
        return self.proxies["zenml"]

    @property
    def s3(self) -> Proxy:
        """The one before the artifact store; ZenML's answers name it in the artifact store's configuration."""
        return self.proxies["s3"]


@contextmanager
def chaos(stack: Stack, *, seed: int = 0) -> Iterator[Chaos]:
    """Puts proxies before the services.

    Args:
        stack: the running services.
        seed: of what happens at random.

    Yields:
        The proxies. Until a fault is asked for they pass on everything.
    """
    proxied = Chaos(stack, seed)
    with ExitStack() as running:
        for proxy in proxied.proxies.values():
            running.enter_context(proxy)
        yield proxied
