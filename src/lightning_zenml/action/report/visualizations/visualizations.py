"""The visualizations of what runs have made: which are looked at, read, and, where pictures are wanted, published."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from posixpath import basename, dirname

from lightning_zenml.action.github.client import ForbiddenError, NotFoundError
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report.visualizations.pictures import Pictures
from lightning_zenml.action.report.visualizations.reading import picture, read
from lightning_zenml.action.report.visualizations.records import Kind, VisualizationReport
from lightning_zenml.codes import Code, CodedError, of
from lightning_zenml.deadline import within
from lightning_zenml.zenml_api.models import Artifact, Visualization
from lightning_zenml.zenml_api.results import ZenMLResults

MOST = 20
"""Visualizations of a launch that are looked at."""
MOST_PICTURES = 10
LARGEST_TEXT = 256 * 1024
"""Bytes of ZenML's answer: what is longer isn't read in a summary."""
LARGEST_PICTURE = 1024 * 1024
"""Bytes of a picture, which come as base64."""
_PATIENCE = 20.0
"""Seconds for ZenML to tell all of them."""
_PUBLISHING_PATIENCE = 40.0
"""Seconds for GitHub to take pictures, whoever writes at the same time."""
_MOST_FAILURES = 3
"""One after the other: then the server can't read this artifact store at all, and each try takes its time."""
_ITSELF = frozenset({"data.json", "data_v2.json", "data.txt", "uuid.txt"})
"""Files in which ZenML's materializers keep an artifact itself, a number or a text, and which they give out as its
visualization, too: nobody has made them to be looked at, and they may hold anything."""
_ORDER = {kind: number for number, kind in enumerate(Kind)}
_HOW = "With the input `pictures: branch`, pictures are shown here, from a branch of this repository."


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A visualization that may be looked at, and the run and the artifact that it is of."""

    run_id: str
    artifact: Artifact
    visualization: Visualization
    kind: Kind


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

    def of(
        self, artifacts: Mapping[str, Sequence[Artifact]], *, patience: float
    ) -> dict[str, tuple[VisualizationReport, ...]]:
        """Gets the visualizations of all runs of a launch.

        Args:
            artifacts: what each run has made, by the run's id.
            patience: seconds that it may take in all.

        Returns:
            The visualizations by the run's id, those first that tell most at a glance.
        """
        deadline = time.monotonic() + patience
        candidates = sorted(self._candidates(artifacts), key=lambda one: _ORDER[one.kind])[:MOST]
        found, contents = self._read(candidates, min(patience, _PATIENCE))
        if contents:
            found |= self._published(found, contents, min(deadline, time.monotonic() + _PUBLISHING_PATIENCE))
        by_run: dict[str, tuple[VisualizationReport, ...]] = {}
        for candidate in candidates:
            report = replace(found[candidate], url=candidate.artifact.url)
            by_run[candidate.run_id] = (*by_run.get(candidate.run_id, ()), report)
        return by_run

    def _candidates(self, artifacts: Mapping[str, Sequence[Artifact]]) -> list[_Candidate]:
        return [
            _Candidate(run_id, artifact, visualization, kind)
            for run_id, several in artifacts.items()
            for artifact in several
            if not any(fnmatchcase(artifact.name, pattern) for pattern in self._exclude)
            for visualization in artifact.visualizations
            if (kind := next((kind for kind in Kind if kind == visualization.type), None))
            and not _is_artifact_itself(artifact, visualization)
        ]

    def _read(
        self, candidates: Sequence[_Candidate], patience: float
    ) -> tuple[dict[_Candidate, VisualizationReport], dict[_Candidate, tuple[str, bytes]]]:
        """What there is to tell, and what pictures there are to publish."""
        deadline, failures = time.monotonic() + patience, 0
        found: dict[_Candidate, VisualizationReport] = {}
        contents: dict[_Candidate, tuple[str, bytes]] = {}
        for one in candidates:
            report = VisualizationReport(artifact=one.artifact.name, kind=one.kind)
            left = deadline - time.monotonic()
            if one.kind is Kind.HTML:
                found[one] = report
            elif one.kind is Kind.IMAGE and self._pictures is None:
                found[one] = replace(report, lacks=_HOW)
            elif failures >= _MOST_FAILURES or left <= 0 or (one.kind is Kind.IMAGE and len(contents) >= MOST_PICTURES):
                found[one] = replace(report, lacks="Some are left out: there are too many, or ZenML takes too long.")
            else:
                try:
                    found[one], content = within(left, partial(self._one, one))
                    contents |= {one: content} if content else {}
                    failures = 0
                except Exception as error:
                    failures += 1
                    why = str(error) or type(error).__name__
                    self._workflow.log(f"A visualization of {one.artifact.name} can't be had: {why}\n")
                    found[one] = replace(report, lacks="The ZenML server can't read what is in the artifact store.")
        return found, contents

    def _one(self, one: _Candidate) -> tuple[VisualizationReport, tuple[str, bytes] | None]:
        name, kind = one.artifact.name, one.kind
        most = LARGEST_PICTURE * 4 // 3 + 1024 if kind is Kind.IMAGE else LARGEST_TEXT
        value = self._results.visualization(one.visualization, most)
        report = VisualizationReport(artifact=name, kind=kind)
        if value is None:
            return replace(report, lacks="Some are too large to be shown here."), None
        if kind is not Kind.IMAGE:
            return read(name, kind, value, self._workflow.redact), None
        content = picture(value)
        lacks = "" if content else "Pictures are shown that are PNG, JPEG, GIF or WebP."
        return replace(report, lacks=lacks), content

    def _published(
        self,
        found: Mapping[_Candidate, VisualizationReport],
        contents: Mapping[_Candidate, tuple[str, bytes]],
        deadline: float,
    ) -> dict[_Candidate, VisualizationReport]:
        """The pictures, with their addresses, or with what keeps them from being shown."""
        pictures = self._pictures
        if pictures is None:
            return {}
        try:
            addresses = within(deadline - time.monotonic(), lambda: pictures.publish(tuple(contents.values())))
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
            return {one: replace(found[one], lacks=lacks) for one in contents}
        self._clean_up(pictures, deadline)
        return {one: replace(found[one], picture=address) for one, address in zip(contents, addresses, strict=True)}

    def _clean_up(self, pictures: Pictures, deadline: float) -> None:
        try:
            within(deadline - time.monotonic(), pictures.clean_up)
        except Exception as error:
            # The next run tries again.
            self._workflow.debug(f"Old pictures stay for now: {error}")


def _is_artifact_itself(artifact: Artifact, visualization: Visualization) -> bool:
    uri = visualization.uri
    return basename(uri) in _ITSELF and dirname(uri).rstrip("/") == artifact.uri.rstrip("/")
