"""Several pushes, at once and one after the other, on studios that stay."""

from __future__ import annotations

import html
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from localcloud.lightning import LightningCloud
from localcloud.runner import Finished, Step
from scene import Actions, wait_for

ALONE = "mkdir ~/busy && while ! test -e ~/go; do sleep 0.1; done && rmdir ~/busy"
"""Fails where another run is on the same studio."""


def test_four_pushes_at_once_share_a_pool_of_two(cloud: LightningCloud, actions: Actions) -> None:
    names = [f"shared-{number}" for number in (1, 2)]
    steps = [actions.step(studio_name="shared", studio_pool="2", commands="true", run=ALONE) for _ in range(4)]
    waiting: set[int] = set()

    def run(number: int, step: Step) -> Finished:
        def see(line: str) -> None:
            if all(f"{name} is in use by octo/model" in line for name in names):
                waiting.add(number)

        return step.run(interrupt=see)

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(run, number, step) for number, step in enumerate(steps)]
        try:
            wait_for(lambda: len(waiting) == 2 or any(one.done() for one in running))
        finally:
            for name in names:
                (cloud.studio(name).home / "go").touch()
        finished = [one.result() for one in running]
    assert [one.exit_code for one in finished] == [0] * 4, "\n".join(one.log for one in finished)
    assert len(waiting) == 2
    assert set(Counter(one.outputs["studio-name"] for one in finished)) == set(names)
    # Each studio is made once, and what it has is not installed again.
    assert [studio.name for studio in cloud.studios if studio.name.startswith("shared-")] == names
    assert sorted("Requirements: unchanged on this studio" in one.log for one in finished) == [False, False, True, True]
    for name in names:
        noted = (cloud.studio(name).home / ".lightning_zenml/environments").read_text().splitlines()
        assert len(noted) == 1
    wait_for(lambda: not cloud.running())


def test_the_next_push_finds_the_machine_up(cloud: LightningCloud, actions: Actions) -> None:
    finished = actions.step(studio_name="warm", keep_warm="60", run="true").run()
    assert finished.exit_code == 0, finished.log
    assert cloud.running() == ["warm"]
    (told,) = re.findall(r"Studio warm kept up (60 min for the next run, at \$0\.\d{4} a minute)", finished.log)
    assert f"| **Kept up** | {told} |" in html.unescape(actions.comment())

    finished = actions.step(studio_name="warm", keep_warm="0.01", run="true").run()
    assert finished.exit_code == 0, finished.log
    assert "Starting warm on" not in finished.log
    # Nobody comes, and nobody is there but the studio.
    wait_for(lambda: not cloud.running())
