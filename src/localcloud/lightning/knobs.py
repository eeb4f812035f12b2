"""How the stand-in misbehaves: everything that the real platform does late, wrongly or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

CACHE_DIR = Path.home() / ".cache" / "lightning-zenml-localcloud"


@dataclass
class Knobs:
    """Settings of the stand-in. All but the last three may be changed while it runs. Times are in seconds.

    Args:
        start_seconds: from the start of a machine (PENDING) to RUNNING.
        setup_seconds: from RUNNING to usable `python`, `pip` and `uv`; `math.inf`: never.
        restore_seconds: from RUNNING to `topUpRestoreFinished`, what the SDK's `start()` waits for; None: with set-up.
        stop_seconds: from STOPPING to STOPPED.
        stuck_studios: so many of the next studios to start for the first time never finish their set-up, however often
            they are restarted.
        start_never_returns: machines that start stay PENDING for ever.
        gpu_comes_up_as_cpu: machines with a GPU come up as a CPU, as on a cloud that does not sell them.
        gpu_use: what `nvidia-smi` says of each GPU in turn on machines that come up: utilization and used MiB as it
            writes them, e.g. `31, 6100` or `[N/A], [N/A]`; the last entry holds for those that follow, none is an idle
            GPU. One that begins with `!` is all that it says, and it fails.
        switch_raises_then_switches: confirming a switch answers 400; it happens all the same, `switch_seconds` later.
        switch_seconds: see `switch_raises_then_switches`.
        auto_sleep_seconds: idle time (no keep-alive, no running session) until a studio is stopped.
        max_hours: hours until a studio is stopped whatever it does; 4 on the free plan.
        vanish: names of studios that are lost: their machine is gone and the API answers 404.
        out_of_capacity: names of machines (`T4`, `H100_X_8`) that can't be had, as the catalog says.
        never_come: names of machines that the catalog offers, and that stay PENDING for ever.
        storage_delay_seconds: after set-up, until the studio sees files that were uploaded during set-up.
        strip_home_prefix: a remote path below `teamspace/studios/this_studio/` is one in the home, not taken literally.
        environment_on_path: scripts that a session starts find the `python` of the studio's environment too.
        waits_for_commands: a command that is not detached is answered when it has ended; else it is refused.
        latency: before each call is carried out.
        lose_answers: (method, regular expression of the path): the next matching call is carried out and its connection
            dropped instead of answered; used up, one call per entry.
        spoil_answers: (method, regular expression of the path, how): the next matching call is carried out, and its
            answer is a `502` or breaks off in the middle (`cut`); used up, one call per entry.
        fail: (method, regular expression of the path, HTTP status, times): so many matching calls are refused.
        page_size: studios or jobs per page of a listing.
        first_snapshot_seconds: what a job waits for the first snapshot of its studio and run id; some minutes on the
            platform. Jobs with the same run id share it.
        collect_seconds: from the end of a job's command (`complete`, `fail`) to its end (`completed`, `failed`).
        artifact_seconds: between two looks at a running job's home for files that it made or changed.
        kept_minute_seconds: what a minute lasts for which a job's machine is kept (`reserveMachinesTimeoutMinutes`).
        cost_delay_seconds: after the end of a job, while its `totalCost` is 0.
        preempt: names of interruptible jobs that lose their machines; used up, one loss per entry.
        home_survives_preemption: a job that is started again finds the files of the attempt before.
        find_job_status: 501, as seen on the platform: `jobs/find` is not implemented.
        schedule_clock_ahead: how far the clock by which schedules fire is ahead of this machine's.
        saved_logs_only: a job that has ended has its log as a file alone, not in pages.
        cache_dir: where the Python environment of new studios and uv's cache are kept between runs.
        packages: installed in every new studio besides, as an organization's own environment template would bring them.
        isolated: studios are mount and PID namespaces; None: if this process may make them.
    """

    start_seconds: float = 0.2
    setup_seconds: float = 0.1
    restore_seconds: float | None = None
    stop_seconds: float = 0.1
    stuck_studios: int = 0
    start_never_returns: bool = False
    gpu_comes_up_as_cpu: bool = False
    gpu_use: tuple[str, ...] = ()
    switch_raises_then_switches: bool = False
    switch_seconds: float = 0.5
    auto_sleep_seconds: float = 600
    max_hours: float = float("inf")
    vanish: set[str] = field(default_factory=set)
    out_of_capacity: set[str] = field(default_factory=set)
    never_come: set[str] = field(default_factory=set)
    storage_delay_seconds: float = 0
    strip_home_prefix: bool = False
    environment_on_path: bool = False
    waits_for_commands: bool = True
    latency: float = 0
    lose_answers: list[tuple[str, str]] = field(default_factory=list)
    spoil_answers: list[tuple[str, str, str]] = field(default_factory=list)
    fail: list[tuple[str, str, int, int]] = field(default_factory=list)
    page_size: int = 50
    first_snapshot_seconds: float = 0
    collect_seconds: float = 0.05
    artifact_seconds: float = 0.5
    kept_minute_seconds: float = 60
    cost_delay_seconds: float = 0
    preempt: set[str] = field(default_factory=set)
    home_survives_preemption: bool = False
    find_job_status: int = 200
    schedule_clock_ahead: float = 0
    saved_logs_only: bool = False
    cache_dir: Path = CACHE_DIR
    packages: tuple[str, ...] = ()
    isolated: bool | None = None

    def can_be_had(self, machine: str) -> bool:
        """Whether a machine of that name comes up when it is asked for."""
        return not self.start_never_returns and machine not in self.out_of_capacity | self.never_come
