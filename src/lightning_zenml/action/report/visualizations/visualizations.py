"""The visualizations of what runs have made: which are looked at, read, and, where wanted, published as files."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from posixpath import basename, dirname, splitext

from lightning_zenml.action.github.client import ForbiddenError, NotFoundError
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report.visualizations.pictures import Pictures
from lightning_zenml.action.report.visualizations.reading import page, picture, read
from lightning_zenml.action.report.visualizations.records import Kind, Published, VisualizationFile, VisualizationReport
from lightning_zenml.codes import Code, CodedError, of
from lightning_zenml.deadline import within
from lightning_zenml.zenml_api.models import Artifact, Visualization
from lightning_zenml.zenml_api.results import ZenMLResults

MOST = 20
"""Visualizations of a launch that are looked at."""
MOST_FILES = 10
"""Pictures, and pages, that are published."""
LARGEST_TEXT = 256 * 1024
"""Bytes of ZenML's answer: what is longer isn't read in a summary."""
LARGEST_PICTURE = 1024 * 1024
"""Bytes of a picture, which come as base64."""
LARGEST_PAGE = 5 * 1024 * 1024
"""Bytes of ZenML's answer for an HTML page that is published: one with a whole library for plots in it has 4.6 MB."""
_PATIENCE = 20.0
"""Seconds for ZenML to tell all of them."""
_PUBLISHING_PATIENCE = 40.0
"""Seconds for GitHub to take files, whoever writes at the same time."""
_MOST_FAILURES = 3
"""One after the other: then the server can't read this artifact store at all, and each try takes its time."""
_ITSELF = frozenset({"data.json", "data_v2.json", "data.txt", "uuid.txt"})
"""Files in which ZenML's materializers keep an artifact itself, a number or a text, and which they give out as its
visualization, too: nobody has made them to be looked at, and they may hold anything."""
_AS_FILES = frozenset({Kind.IMAGE, Kind.HTML})
"""What no summary shows as it is."""
_LARGEST = {Kind.IMAGE: LARGEST_PICTURE * 4 // 3 + 1024, Kind.HTML: LARGEST_PAGE}
"""Bytes of ZenML's answer."""
_ORDER = {kind: number for number, kind in enumerate(Kind)}
_HOW = (
    "With the input `pictures: branch`, pictures are shown here, from a branch of this repository; with `pictures: "
    "artifact`, pictures and pages come into a ZIP file of this workflow run."
)
_IN_ZIP = (
    "What has a path here is in a ZIP file, an artifact of this workflow run that GitHub keeps as long as the "
    "repository says."
)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A visualization that may be looked at, and the run and the artifact that it is of."""

    run_id: str
    run_name: str
    artifact: Artifact
    visualization: Visualization
    kind: Kind

    def file(self, ending: str, content: bytes) -> VisualizationFile:
        """What it shows, as a file."""
        name, _ = splitext(basename(self.visualization.uri))
        return VisualizationFile(
            run=self.run_name, artifact=self.artifact.name, name=name, ending=ending, content=content
        )


class Visualizations:
    """Gets them, within bounds; what can't be shown is linked to.

    Args:
        results: the ZenML server.
        workflow: the runner, for warnings and what is secret.
        pictures: where pictures are put; None: nowhere.
        exclude: patterns of the names of artifacts that are left out.
    """

    def __init__(
        self, results: ZenMLResults, workflow: Workflow, pictures: Pictures | None, exclude: Sequence[str]
    ) -> None:
        self._results = results
        self._workflow = workflow
        self._pictures = pictures
        self._exclude = exclude
        self._is_warned = False

    def of(
        self, artifacts: Mapping[str, Sequence[Artifact]], names: Mapping[str, str], *, patience: float
    ) -> dict[str, tuple[VisualizationReport, ...]]:
        """Gets the visualizations of all runs of a launch.

        Args:
            artifacts: what each run has made, by the run's id.
            names: names of the runs, by id.
            patience: seconds that it may take in all.

        Returns:
            The visualizations by the run's id, those first that tell most at a glance.
        """
        deadline = time.monotonic() + patience
        candidates = sorted(self._candidates(artifacts, names), key=lambda one: _ORDER[one.kind])[:MOST]
        pictures, lacks = self._place({one.kind for one in candidates})
        found, files = self._read(candidates, pictures, lacks, min(patience, _PATIENCE))
        if pictures and files:
            until = min(deadline, time.monotonic() + _PUBLISHING_PATIENCE)
            found |= self._published(pictures, found, files, until)
        by_run: dict[str, tuple[VisualizationReport, ...]] = {}
        for candidate in candidates:
            report = replace(found[candidate], url=candidate.artifact.url)
            by_run[candidate.run_id] = (*by_run.get(candidate.run_id, ()), report)
        return by_run

    def _candidates(self, artifacts: Mapping[str, Sequence[Artifact]], names: Mapping[str, str]) -> list[_Candidate]:
        return [
            _Candidate(run_id, names.get(run_id) or run_id, artifact, visualization, kind)
            for run_id, several in artifacts.items()
            for artifact in several
            if not any(fnmatchcase(artifact.name, pattern) for pattern in self._exclude)
            for visualization in artifact.visualizations
            if (kind := next((kind for kind in Kind if kind == visualization.type), None))
            and not _is_artifact_itself(artifact, visualization)
        ]

    def _place(self, kinds: Collection[Kind]) -> tuple[Pictures | None, str]:
        """Where files are put, None where that can't be done here; and what is lacking then, in words."""
        if self._pictures is None:
            return None, _HOW
        if not self._pictures.kinds & set(kinds):
            return self._pictures, ""
        try:
            self._pictures.check()
        except CodedError as error:
            if not self._is_warned:
                self._workflow.warning(str(error), error.code, title="No pictures")
            self._is_warned = True
            return None, "Pictures are only linked; the log says why."
        return self._pictures, ""

    def _read(
        self, candidates: Sequence[_Candidate], pictures: Pictures | None, lacks: str, patience: float
    ) -> tuple[dict[_Candidate, VisualizationReport], dict[_Candidate, VisualizationFile]]:
        """What there is to tell, and what files there are to publish."""
        deadline, failures = time.monotonic() + patience, 0
        taken = pictures.kinds if pictures else frozenset[Kind]()
        found: dict[_Candidate, VisualizationReport] = {}
        files: dict[_Candidate, VisualizationFile] = {}
        for one in candidates:
            report = VisualizationReport(artifact=one.artifact.name, kind=one.kind)
            left = deadline - time.monotonic()
            is_one_too_many = sum(other.kind is one.kind for other in files) >= MOST_FILES
            if one.kind in _AS_FILES and one.kind not in taken:
                found[one] = replace(report, lacks=lacks if one.kind is Kind.IMAGE or self._pictures else "")
            elif failures >= _MOST_FAILURES or left <= 0 or is_one_too_many:
                found[one] = replace(report, lacks="Some are left out: there are too many, or ZenML takes too long.")
            else:
                try:
                    found[one], file = within(left, partial(self._one, one))
                    files |= {one: file} if file else {}
                    failures = 0
                except Exception as error:
                    failures += 1
                    why = str(error) or type(error).__name__
                    self._workflow.log(f"A visualization of {one.artifact.name} can't be had: {why}\n")
                    found[one] = replace(report, lacks="The ZenML server can't read what is in the artifact store.")
        return found, files

    def _one(self, one: _Candidate) -> tuple[VisualizationReport, VisualizationFile | None]:
        name, kind = one.artifact.name, one.kind
        value = self._results.visualization(one.visualization, _LARGEST.get(kind, LARGEST_TEXT))
        report = VisualizationReport(artifact=name, kind=kind)
        if value is None:
            return replace(report, lacks="Some are too large to be shown here."), None
        if kind is Kind.HTML:
            content = page(value, self._workflow.redact)
            lacks = "" if content else "A page that seems to hold a secret, or nothing, is not uploaded."
            return replace(report, lacks=lacks), one.file("html", content) if content else None
        if kind is not Kind.IMAGE:
            return read(name, kind, value, self._workflow.redact), None
        found = picture(value)
        lacks = "" if found else "Pictures are shown that are PNG, JPEG, GIF or WebP."
        return replace(report, lacks=lacks), one.file(*found) if found else None

    def _published(
        self,
        pictures: Pictures,
        found: Mapping[_Candidate, VisualizationReport],
        files: Mapping[_Candidate, VisualizationFile],
        deadline: float,
    ) -> dict[_Candidate, VisualizationReport]:
        """What was published, with where it is, or with what keeps it from that."""
        try:
            published = within(deadline - time.monotonic(), lambda: pictures.publish(tuple(files.values())))
        except Exception as error:
            message, code = of(error, Code.GITHUB_AWAY)
            if isinstance(error, TimeoutError):
                message = "GitHub takes too long."
            elif not isinstance(error, CodedError):
                message, code = f"By a fault of this action: {type(error).__name__}: {error}", Code.FAULT
            self._workflow.warning(message, code, title="No pictures")
            is_right = isinstance(error, ForbiddenError | NotFoundError)
            needed = "Pictures need `permissions:` with `contents: write`." if is_right else ""
            lacks = needed or "GitHub has not taken the pictures this time; the log says why."
            return {one: replace(found[one], lacks=lacks) for one in files}
        self._clean_up(pictures, deadline)
        return {one: _with(found[one], place) for one, place in zip(files, published, strict=True)}

    def _clean_up(self, pictures: Pictures, deadline: float) -> None:
        try:
            within(deadline - time.monotonic(), pictures.clean_up)
        except Exception as error:
            # The next run tries again.
            self._workflow.debug(f"Old pictures stay for now: {error}")


def _is_artifact_itself(artifact: Artifact, visualization: Visualization) -> bool:
    uri = visualization.uri
    return basename(uri) in _ITSELF and dirname(uri).rstrip("/") == artifact.uri.rstrip("/")


def _with(report: VisualizationReport, published: Published) -> VisualizationReport:
    if not published.path:
        return replace(report, picture=published.url)
    return replace(report, zip_url=published.url, zip_path=published.path, lacks=_IN_ZIP)
