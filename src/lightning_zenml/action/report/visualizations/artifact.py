"""Pictures and pages in an artifact of the workflow run: a ZIP file, which is downloaded and opened.

Each report has one of its own, named by job and leg. GitHub deletes it when the repository's retention is over.
"""

from __future__ import annotations

import io
import re
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence

from lightning_zenml.action.github.artifacts.results import ResultsService
from lightning_zenml.action.github.artifacts.runtime import Runtime
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.action.report.visualizations.records import Kind, Published, VisualizationFile

_LONGEST_WORD = 80
"""Characters of a file's or folder's name, so that no system finds a path too long."""
_ODD = re.compile(r"[^\w.=+, -]+")
"""What some file system doesn't take, GitHub refuses in a name, or leads out of a folder."""


class PicturesInArtifact:
    """The pictures and pages of one job.

    Args:
        event: what started the workflow run.
        leg: leg of the matrix; '' without one.
        environ: variables of the step.
        workflow: the runner, which hides secrets.
        sleep: function that waits for so many seconds.
    """

    kinds = frozenset({Kind.IMAGE, Kind.HTML})

    def __init__(
        self,
        event: Event,
        leg: str,
        environ: Mapping[str, str],
        workflow: Workflow,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name_of(event, leg, workflow.redact)
        self._artifacts = f"{event.server_url}/{event.repository}/actions/runs/{event.run_id}/artifacts"
        self._environ = environ
        self._workflow = workflow
        self._sleep = sleep
        self._uploaded: dict[tuple[VisualizationFile, ...], tuple[Published, ...]] = {}

    def check(self) -> None:
        """Sees whether the runner has given what an upload needs.

        Raises:
            ArtifactError: if it hasn't; says what to do.
        """
        Runtime.from_environ(self._environ)

    def publish(self, files: Sequence[VisualizationFile]) -> tuple[Published, ...]:
        """Uploads files as an artifact, unless these were the last.

        Args:
            files: what is put there.

        Returns:
            Address of the artifact, and the path of each in it.

        Raises:
            ArtifactError: if it is not there in the end.
        """
        key = tuple(files)
        if key not in self._uploaded:
            paths = paths_of(files, self._workflow.redact)
            service = ResultsService(Runtime.from_environ(self._environ), mask=self._workflow.mask, sleep=self._sleep)
            number = service.upload(self._name, _zipped(dict(zip(paths, files, strict=True))))
            self._uploaded = {key: tuple(Published(url=f"{self._artifacts}/{number}", path=path) for path in paths)}
        return self._uploaded[key]

    def clean_up(self) -> None:
        """Does nothing: GitHub does."""


def name_of(event: Event, leg: str, redact: Callable[[str], str]) -> str:
    """The artifact's name: of the job, its leg, and the attempt where it is not the first.

    Args:
        event: what started the workflow run.
        leg: leg of the matrix; '' without one.
        redact: hides secrets.
    """
    attempt = f"attempt {event.run_attempt}" if event.run_attempt > 1 else ""
    parts = ("pictures", event.job, leg, attempt)
    return "-".join(_word(redact(part)) for part in parts if part)


def paths_of(files: Sequence[VisualizationFile], redact: Callable[[str], str]) -> tuple[str, ...]:
    """The path of each file in the ZIP file, `<run>/<artifact>/<name>.<ending>`: one that is taken gets a number.

    Args:
        files: the files.
        redact: hides secrets.
    """
    taken: dict[str, str] = {}
    for file in files:
        folder = "/".join(_word(redact(part)) for part in (file.run, file.artifact))
        name, number = f"{folder}/{_word(redact(file.name))}", 1
        path = f"{name}.{file.ending}"
        # Some file systems don't tell upper case from lower.
        while path.lower() in taken:
            number += 1
            path = f"{name}-{number}.{file.ending}"
        taken[path.lower()] = path
    return tuple(taken.values())


def _word(text: str) -> str:
    """A name of a file or a folder that is one everywhere, as like the text as can be."""
    return _ODD.sub("_", text)[:_LONGEST_WORD].strip(". ") or "_"


def _zipped(files: Mapping[str, VisualizationFile]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, file in files.items():
            archive.writestr(path, file.content)
    return content.getvalue()
