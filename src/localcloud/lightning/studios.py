"""What the platform does with studios: when asked, and by itself as time goes by."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from .computer import environment
from .computer.machine import passed_on
from .computer.sandbox import Disk, NamespaceSandbox, ProcessSandbox, Sandbox, can_isolate
from .computer.sessions import Session
from .entities import Instance, Phase, Studio
from .knobs import Knobs
from .ledger import Ledger
from .machines import Cluster, Offer
from .server import ApiError


class Studios:
    """All studios of the cloud. Not safe for threads: the cloud's lock is held around every call.

    Args:
        root: the cloud's folder.
        knobs: how long things take and what goes wrong.
        ledger: gets what is billed.
        variables: what the platform sets in a studio's sessions, credentials among it.
    """

    def __init__(self, root: Path, knobs: Knobs, ledger: Ledger, variables: Callable[[Studio], dict[str, str]]) -> None:
        self.all: list[Studio] = []
        self._root = root
        self._knobs = knobs
        self._ledger = ledger
        self._variables = variables
        self._template = environment.template(knobs.cache_dir, knobs.packages)
        isolated = can_isolate() if knobs.isolated is None else knobs.isolated
        self.sandbox: type[Sandbox] = NamespaceSandbox if isolated else ProcessSandbox

    def present(self, project_id: str) -> list[Studio]:
        """The studios of a teamspace, oldest first."""
        return [studio for studio in self.all if studio.project_id == project_id and studio.deleted is None]

    def get(self, project_id: str, studio_id: str) -> Studio:
        """The studio with this id.

        Raises:
            ApiError: 404.
        """
        for studio in self.present(project_id):
            if studio.id == studio_id:
                return studio
        raise ApiError(5, f"cloudspace {studio_id} not found")

    def create(
        self, name: str, project_id: str, cluster: Cluster, seeds: Mapping[str, str], *, disable_secrets: bool = False
    ) -> Studio:
        """A new studio, stopped.

        Raises:
            ApiError: 409, the name is taken.
        """
        if any(studio.name == name for studio in self.present(project_id)):
            raise ApiError(6, f"cloudspace {name} already exists")
        disk = Disk(
            self._root / "studios" / uuid.uuid4().hex,
            self._template,
            environment.uv_cache(self._knobs.cache_dir),
            self._root,
        )
        studio = Studio(name, project_id, cluster, disk, disable_secrets, display_name=name)
        (studio.home / ".lightning_studio").mkdir(parents=True)
        for path, content in seeds.items():
            (studio.home / path).parent.mkdir(parents=True, exist_ok=True)
            (studio.home / path).write_text(content)
        self.all.append(studio)
        return studio

    def start(self, studio: Studio, machine: str, *, spot: bool) -> None:
        """Ask for a machine.

        Raises:
            ApiError: 400, the studio is not stopped.
        """
        if studio.phase != Phase.STOPPED.name:
            raise ApiError(9, f"cannot start a cloudspace that is not stopped: it is {studio.phase}")
        if not studio.started_before and self._knobs.stuck_studios > 0:
            self._knobs.stuck_studios -= 1
            studio.stuck = True
        studio.started_before = True
        studio.in_use = self._instance(studio, machine, spot=spot)

    def stop(self, studio: Studio, message: str = "") -> None:
        """Begin to stop.

        Raises:
            ApiError: 400, the studio is neither pending nor running.
        """
        if studio.in_use is None or studio.in_use.phase not in (Phase.PENDING, Phase.RUNNING):
            raise ApiError(9, f"cannot stop a cloudspace that is not running: it is {studio.phase}")
        for instance in studio.instances:
            instance.phase = Phase.STOPPING
            instance.message = message
            instance.stopping_at = time.monotonic()
        studio.switch_at = None

    def delete(self, studio: Studio) -> None:
        """Delete; its machine ends a moment later, so that a studio which deletes itself hears the answer."""
        studio.deleted = time.time()
        for instance in studio.instances:
            instance.stopping_at = time.monotonic()

    def request_switch(self, studio: Studio, machine: str, *, spot: bool, cluster: str) -> None:
        """Ask for another machine, beside the one in use; to ask for that one itself takes back what was asked for.

        Raises:
            ApiError: 400, not running, or to another cloud account.
        """
        if cluster and cluster != studio.cluster.id:
            raise ApiError(9, "cannot switch to a Studio on another cloud account")
        if studio.in_use is None or studio.in_use.phase is not Phase.RUNNING:
            raise ApiError(9, "cannot switch a cloudspace that is not running")
        if studio.requested is not None:
            self._end(studio.requested)
        wanted = self._instance(studio, machine, spot=spot)
        is_there = (wanted.offer, spot) == (studio.in_use.offer, studio.in_use.spot)
        studio.requested = None if is_there else wanted

    def confirm_switch(self, studio: Studio) -> None:
        """Move to the requested machine.

        Raises:
            ApiError: 400, there is none, or it isn't there yet, or `switch_raises_then_switches`.
        """
        if studio.requested is None:
            raise ApiError(9, "no switch was requested")
        if self._knobs.switch_raises_then_switches:
            studio.switch_at = time.monotonic() + self._knobs.switch_seconds
            raise ApiError(9, "cannot switch to a Studio")
        if studio.requested.phase is not Phase.RUNNING:
            raise ApiError(9, "the requested machine is not ready")
        self._switch(studio)

    def execute(self, studio: Studio, command: str) -> Session:
        """Run a command in a new session.

        Raises:
            ApiError: 400, not running; 500, it can't be started.
        """
        instance = studio.in_use
        if instance is None or instance.phase is not Phase.RUNNING or instance.sandbox is None:
            raise ApiError(9, "cannot run a command in a cloudspace that is not running")
        return self._run(studio, instance, instance.sandbox, command)

    def session(self, studio: Studio, name: str) -> Session:
        """A session of the machine in use.

        Raises:
            ApiError: 400, the machine is not running; 404, it knows no such session.
        """
        if studio.in_use is None or studio.in_use.phase is not Phase.RUNNING:
            raise ApiError(9, "cloudspace is not running")
        if name not in studio.in_use.sessions:
            raise ApiError(5, f"session {name} not found")
        return studio.in_use.sessions[name]

    def offer(self, cluster: Cluster, machine: str) -> Offer:
        """What is really started when `machine` is asked for: a GPU that the cloud does not sell comes up as a CPU."""
        offer = cluster.find(machine)
        cpu = cluster.find("cpu-4")
        assert cpu is not None
        return cpu if offer is None or (self._knobs.gpu_comes_up_as_cpu and offer.machine.gpus) else offer

    def session_variables(self, studio: Studio, sandbox: Sandbox) -> dict[str, str]:
        """All variables of a command in a machine of the studio, or of a job from it."""
        return {
            **sandbox.folder.variables(environment_on_path=self._knobs.environment_on_path),
            **passed_on(),
            "HOME": sandbox.home_path,
            "LIGHTNING_ARTIFACTS_DIR": sandbox.home_path,
            "UV_CACHE_DIR": sandbox.uv_cache_path,
            **self._variables(studio),
            **studio.env,
        }

    def keep_awake(self, studio: Studio) -> None:
        """A keep-alive arrived."""
        if studio.in_use is not None:
            studio.in_use.active_at = time.monotonic()

    def tick(self) -> None:
        """Let everything happen that is due."""
        now = time.monotonic()
        for studio in self.all:
            if studio.cleared:
                continue
            if studio.deleted is None and studio.name in self._knobs.vanish:
                self.delete(studio)
            for instance in studio.instances:
                self._advance(studio, instance, now)
            if studio.switch_at is not None and studio.switch_at <= now:
                self._switch(studio)
            if studio.requested is not None and studio.requested.phase is Phase.STOPPED:
                studio.requested = None
            if studio.deleted is None:
                self._sleep_when_idle(studio, now)
                self._show_late_files(studio, now)
            elif not any(instance.sandbox or instance.stopping_at is not None for instance in studio.instances):
                if studio.disk.folder.exists():
                    shutil.rmtree(studio.disk.folder)
                studio.cleared = True

    def close(self) -> None:
        """End every machine, at once."""
        for studio in self.all:
            for instance in studio.instances:
                self._end(instance)

    def _instance(self, studio: Studio, machine: str, *, spot: bool) -> Instance:
        offer = self.offer(studio.cluster, machine)
        setup = float("inf") if studio.stuck else self._knobs.setup_seconds
        restore = setup if self._knobs.restore_seconds is None else self._knobs.restore_seconds
        return Instance(offer, spot, setup, restore)

    def _advance(self, studio: Studio, instance: Instance, now: float) -> None:
        if instance.stopping_at is not None:
            if now - instance.stopping_at >= self._knobs.stop_seconds:
                self._end(instance)
        elif instance.phase is Phase.PENDING:
            comes = self._knobs.can_be_had(instance.offer.machine.name)
            if comes and now - instance.requested_at >= self._knobs.start_seconds:
                self._boot(studio, instance)
        elif (
            instance.phase is Phase.RUNNING
            and not instance.set_up
            and instance.seconds_running >= instance.setup_seconds
        ):
            self._finish_setup(studio, instance)

    def _boot(self, studio: Studio, instance: Instance) -> None:
        machine = instance.offer.machine
        instance.interval = self._ledger.open(studio.name, machine.name, instance.price)
        instance.started_at = time.monotonic()
        instance.started = time.time()
        instance.active_at = instance.started_at
        # A studio has one disk: the machine that a switch asked for gets it when the one in use lets go of it.
        if instance is studio.requested:
            instance.phase = Phase.RUNNING
            return
        self._boot_sandbox(studio, instance)

    def _boot_sandbox(self, studio: Studio, instance: Instance) -> None:
        machine = instance.offer.machine
        scratch = self._root / "machines" / instance.id
        scratch.mkdir(parents=True)
        instance.sandbox = self.sandbox(studio.disk, scratch, machine.gpus, machine.family)
        instance.sandbox.folder.use_gpus(self._knobs.gpu_use)
        try:
            instance.sandbox.start()
            instance.phase = Phase.RUNNING
        except RuntimeError as error:
            self._end(instance)
            instance.phase = Phase.FAILED
            instance.message = str(error)

    def _finish_setup(self, studio: Studio, instance: Instance) -> None:
        if instance is studio.requested or instance.sandbox is None:
            return
        instance.set_up = True
        instance.sandbox.folder.finish_setup()
        if (studio.home / ".lightning_studio" / "on_start.sh").is_file():
            self._run(studio, instance, instance.sandbox, "bash .lightning_studio/on_start.sh")

    def _switch(self, studio: Studio) -> None:
        old, new = studio.in_use, studio.requested
        studio.switch_at = None
        if old is None or new is None:
            return
        self._end(old)
        studio.in_use, studio.requested = new, None
        if new.started_at is None:
            return
        new.started_at = time.monotonic()
        self._boot_sandbox(studio, new)

    def _end(self, instance: Instance) -> None:
        if instance.sandbox is not None:
            instance.sandbox.stop()
            instance.sandbox = None
        for session in instance.sessions.values():
            session.reap()
        if instance.interval is not None:
            instance.interval.close()
        instance.phase = Phase.STOPPED
        instance.stopping_at = None

    def _run(self, studio: Studio, instance: Instance, sandbox: Sandbox, command: str) -> Session:
        variables = self.session_variables(studio, sandbox)
        name = f"session-{len(instance.sessions) + 1}"
        try:
            session = Session(name, sandbox, command, variables)
        except OSError as error:
            raise ApiError(13, f"the command could not be started: {error.strerror}") from error
        instance.sessions[name] = session
        return session

    def _sleep_when_idle(self, studio: Studio, now: float) -> None:
        instance = studio.in_use
        if instance is None or instance.phase is not Phase.RUNNING:
            return
        if any(session.exit_code is None for session in instance.sessions.values()):
            instance.active_at = now
        limit = studio.idle_shutdown_seconds or self._knobs.auto_sleep_seconds
        if not studio.disable_auto_shutdown and now - instance.active_at >= limit:
            self.stop(studio, "stopped: idle")
        elif instance.seconds_running >= self._knobs.max_hours * 3600:
            self.stop(studio, "stopped: maximum run time")

    def _show_late_files(self, studio: Studio, now: float) -> None:
        instance = studio.in_use
        setting_up = instance is not None and instance.phase is Phase.RUNNING and not instance.set_up
        if not studio.late_files or setting_up:
            return
        waiting = []
        for file, target, delay in studio.late_files:
            if instance is not None and instance.phase is Phase.RUNNING and instance.seconds_running < delay:
                waiting.append((file, target, delay))
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                shutil.move(file, target)
        studio.late_files = waiting
