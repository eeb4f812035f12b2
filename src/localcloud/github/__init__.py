"""A stateful stand-in for the GitHub calls that a commenting action makes.

Pull requests, pushes, comments, reactions, commit statuses, check runs and deployments live in memory. Whatever is
answered is checked against GitHub's own schemas (`localcloud.schemas`), so a client can't come to rely on something
that GitHub doesn't send.
Faults are injected on request: `fail`, `lose_answers`, `meet`.
"""

from __future__ import annotations

from localcloud.github.server import GitHub
from localcloud.github.wire import Recorded

__all__ = ["GitHub", "Recorded"]
