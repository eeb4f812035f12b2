"""What main leaves for post, in the runner's `STATE_*` variables: `Handover` writes it, `Left` reads it.

Main may be killed at any time, so each thing is noted before it costs anything. Both are of the same version.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, TypeVar

from lightning_zenml.action.github.origin import Origin
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report.model import Report, State
from lightning_zenml.launch.launcher import Hold
from lightning_zenml.launch.payload.records import JobRecord, RunRecord
from lightning_zenml.launch.spec import Failure, Phase

_SHARES = {"holds": 25_000, "run_ids": 25_000, "report": 15_000, "runs": 25_000, "jobs": 10_000}
"""Characters at most of what may grow, some 100,000 in all: post gets each value in a variable, and Linux starts no
program with one of more than 128 KiB, or with too many of them (`execve(2)`)."""
_CUTS = (8_000, 1_000, 200)
"""Characters of one text in a report that is too long."""
_FACTS = (
    *("pipeline", "studio_name", "studio_url", "studio_deleted", "machine", "warmth"),
    *("launch_id", "is_async", "cost", "estimate", "budget"),
)
"""Fields of a report that nobody but main knows."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SavedReport:
    """A report as far as another process can't find it out anew.

    Args:
        origin: where the launch comes from; None as long as that isn't known.
        started: seconds since 1970 when the launch began.
        ended: seconds since 1970 when the launch ended, where that was before main; else None.
        comments: id of the comment by number of its pull request.
        check_run: id of the check run; None where there is none, or it isn't known.
        deployment: id of the deployment, likewise.
        report: the report, of which state, failure and `_FACTS` are kept.
    """

    origin: Origin | None
    started: float
    ended: float | None
    comments: Mapping[int, int]
    check_run: int | None = None
    deployment: int | None = None
    report: Report

    def to_json(self) -> str:
        """The saved report as text."""
        report = self.report
        saved = {
            "origin": self.origin.as_json() if self.origin else None,
            "started": self.started,
            "ended": self.ended,
            "comments": dict(self.comments),
            "check_run": self.check_run,
            "deployment": self.deployment,
            "state": report.state,
            "failures": [asdict(failure) for failure in (report.failure, *report.others) if failure],
            "facts": {name: getattr(report, name) for name in _FACTS},
        }
        return json.dumps(saved)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` has written."""
        saved = json.loads(text)
        failures = [Failure(**{**failure, "phase": Phase(failure["phase"])}) for failure in saved["failures"]]
        return cls(
            origin=Origin.from_json(saved["origin"]) if saved["origin"] else None,
            started=saved["started"],
            ended=saved["ended"],
            comments={int(number): comment for number, comment in saved["comments"].items()},
            check_run=saved["check_run"],
            deployment=saved["deployment"],
            report=Report(
                state=State(saved["state"]),
                failure=next(iter(failures), None),
                others=tuple(failures[1:]),
                **saved["facts"],
            ),
        )

    def added_to(self, report: Report) -> Report:
        """A report that another process has begun, with what was saved of this one."""
        saved = self.report
        facts: dict[str, Any] = {name: getattr(saved, name) for name in _FACTS}
        return replace(report, state=saved.state, failure=saved.failure, others=saved.others, **facts)


class Handover:
    """Notes what post must know.

    Args:
        workflow: the runner, which keeps the notes, and takes the outputs that name the launch.
    """

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._holds: dict[str, Hold] = {}
        self._run_ids: list[str] = []
        self._runs: list[RunRecord] = []
        self._saved: dict[str, str] = {}

    @property
    def has_holds(self) -> bool:
        """Whether anything is left to release."""
        return bool(self._holds)

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Ids of the ZenML runs that must have ended when this step has."""
        return tuple(self._run_ids)

    def note_hold(self, hold: Hold) -> None:
        """Notes what a launch holds from now on, and sets the outputs `studio-name` and `launch-id`."""
        if hold.is_over:
            self._holds.pop(hold.launch_id, None)
        else:
            self._holds[hold.launch_id] = hold
        self._save_newest("holds", [hold.to_json() for hold in self._holds.values()])
        self._workflow.set_output("studio-name", hold.studio_name)
        self._workflow.set_output("launch-id", hold.launch_id)

    def note_run_id(self, run_id: str) -> None:
        """Notes a ZenML run that is about to be launched; it may come to nothing."""
        if run_id not in self._run_ids:
            self._run_ids.append(run_id)
            self._save_newest("run_ids", self._run_ids)

    def note_run(self, record: RunRecord) -> None:
        """Notes a ZenML run that has begun."""
        self.note_run_id(record.run_id)
        self._runs.append(record)
        self._save_newest("runs", [record.to_json() for record in self._runs])

    def note_jobs(self, records: Sequence[JobRecord]) -> None:
        """Notes all Lightning jobs so far, or none: what a part of them has cost is not what they have cost."""
        text = json.dumps([record.to_json() for record in records])
        self._save("jobs", text if records and len(text) <= _SHARES["jobs"] else "")

    def note_teamspace(self, name: str) -> None:
        """Notes the teamspace, `owner/name`: post then needs no ZenML server to release what is in it."""
        self._save("teamspace", name)

    def note_report(self, report: SavedReport) -> None:
        """Notes the report so far."""
        text = report.to_json()
        for most in _CUTS:
            if len(text) <= _SHARES["report"]:
                break
            text = json.dumps(_cut(json.loads(text), most))
        self._save("report", text)

    def note_attached(self) -> None:
        """Notes that the launch is an earlier one, which may go on elsewhere when nothing is held here."""
        self._save("attached", "true")

    def note_reported(self) -> None:
        """Notes that the report is up to date and nobody has to tell more."""
        self._save("reported", "true")

    def note_finished(self) -> None:
        """Notes that nothing is left to release."""
        self._save("finished", "true")

    def _save_newest(self, name: str, items: Sequence[Any]) -> None:
        """Notes what fits of a list: what came last has most likely not ended."""
        kept: list[Any] = []
        room = _SHARES[name] - len("[]")
        for item in reversed(items):
            room -= len(json.dumps(item)) + len(", ")
            if room < 0:
                break
            kept.insert(0, item)
        self._save(name, json.dumps(kept))

    def _save(self, name: str, value: str) -> None:
        if self._saved.get(name, "") != value:
            self._saved[name] = value
            self._workflow.save_state(name, value)


@dataclass(frozen=True, kw_only=True)
class Left:
    """What main has left.

    Args:
        is_finished: nothing is left to release.
        is_reported: the report tells the end.
        is_attached: the launch is an earlier one, which main has followed.
        holds: what the launches of main held when it ended.
        teamspace: `owner/name`; None before main had found it.
        run_ids: ids of the ZenML runs that main has launched, or was about to.
        runs: ZenML runs that have begun.
        jobs: Lightning jobs that the runs' steps ran as.
        report: the report so far; None before there was one.
    """

    is_finished: bool
    is_reported: bool
    is_attached: bool = False
    holds: tuple[Hold, ...]
    teamspace: str | None
    run_ids: tuple[str, ...]
    runs: tuple[RunRecord, ...]
    jobs: tuple[JobRecord, ...]
    report: SavedReport | None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Left:
        """Reads it.

        Args:
            environ: variables of the step, `STATE_*` among them.
        """
        report: SavedReport | None = None
        with contextlib.suppress(Exception):
            report = SavedReport.from_json(environ["STATE_report"])
        return cls(
            is_finished=bool(environ.get("STATE_finished")),
            is_reported=bool(environ.get("STATE_reported")),
            is_attached=bool(environ.get("STATE_attached")),
            holds=_readable("holds", Hold.from_json, environ),
            teamspace=environ.get("STATE_teamspace") or None,
            run_ids=_readable("run_ids", str, environ),
            runs=_readable("runs", RunRecord.from_json, environ),
            jobs=_readable("jobs", JobRecord.from_json, environ),
            report=report,
        )

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is left to do."""
        return (self.is_finished and self.is_reported) or not (self.holds or self.run_ids or self.report)


def _readable(name: str, read: Callable[[Any], T], environ: Mapping[str, str]) -> tuple[T, ...]:
    """What can be read of a list: one thing that can't must not keep the others from being released."""
    found: list[T] = []
    with contextlib.suppress(ValueError, TypeError):
        for item in json.loads(environ.get(f"STATE_{name}") or "[]"):
            with contextlib.suppress(Exception):
                found.append(read(item))
    return tuple(found)


def _cut(value: Any, most: int) -> Any:
    """JSON with texts of so many characters at most; of a failure's output the end counts."""
    if isinstance(value, dict):
        return {name: _cut(one, most) for name, one in value.items()}
    if isinstance(value, list):
        return [_cut(one, most) for one in value]
    return value[-most:] if isinstance(value, str) else value
