"""What a pipeline run has made, read from a ZenML server over REST: graph, artifacts, metadata, logs.

Endpoints and fields are those of ZenML 0.98 (`zenml/zen_server/routers`, `zenml/models/v2`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lightning_zenml.zenml_api.models import PROVENANCE, Artifact, Graph, Run, Step, Visualization
from lightning_zenml.zenml_api.rest import patiently
from lightning_zenml.zenml_api.server import ZenMLServer

_MOST_ARTIFACTS = 200
_CANDIDATES = 20
"""How many runs of a branch are asked for at once: mostly the first is what is looked for."""
_EXCEPTION = "An exception has occurred."
"""How ZenML begins the log entry that repeats the traceback, with its own frames."""


class ZenMLResults:
    """Reads what runs have made.

    Every method raises `ZenMLServerError` when the server refuses, or can't be reached.

    Args:
        server: the server that knows the runs.
    """

    def __init__(self, server: ZenMLServer) -> None:
        self._server = server
        self._rest = server.rest

    @patiently
    def graph(self, run_id: str) -> Graph:
        """Gets the steps of a run and what each of them waits for.

        Args:
            run_id: UUID of the run.

        Returns:
            The graph, without the artifacts between the steps.
        """
        dag = self._rest.get(f"runs/{run_id}/dag")
        steps = {node["node_id"]: node["name"] for node in dag["nodes"] if node["type"] == "step"}
        after: dict[str, list[str]] = defaultdict(list)
        for edge in dag["edges"]:
            after[edge["source"]].append(edge["target"])
        edges = [(name, steps[node]) for start, name in steps.items() for node in _next_steps(start, after, steps)]
        return Graph(steps=tuple(steps.values()), edges=tuple(dict.fromkeys(edges)))

    @patiently
    def artifacts(self, run: Run) -> list[Artifact]:
        """Gets the versions of artifacts that a run has made, oldest first; of a great many the first ones.

        Args:
            run: the run that has made them.
        """
        found = self._rest.pages("artifact_versions", pipeline_run=run.id, hydrate=True, sort_by="asc:created")
        artifacts: list[Artifact] = []
        for data in found:
            body = data["body"]
            visualizations = data["metadata"].get("visualizations") or ()
            artifacts.append(
                Artifact(
                    name=body["artifact"]["name"],
                    version=str(body["version"]),
                    type=body["type"],
                    uri=body["uri"],
                    url=self._artifact_url(run, data["id"], body["project_id"]),
                    metadata=data["metadata"]["run_metadata"],
                    visualizations=tuple(
                        Visualization(
                            artifact_id=data["id"], index=index, type=one["body"]["type"], uri=one["body"]["uri"]
                        )
                        for index, one in enumerate(visualizations)
                    ),
                )
            )
            if len(artifacts) == _MOST_ARTIFACTS:
                break
        return artifacts

    @patiently
    def visualization(self, visualization: Visualization, most: int) -> str | None:
        """Gets what a visualization shows.

        Args:
            visualization: which one.
            most: bytes of the server's answer, at most.

        Returns:
            The text; base64 of an image; None where it is larger.
        """
        path = f"artifact_versions/{visualization.artifact_id}/visualize"
        answer = self._rest.get_at_most(path, most, index=visualization.index)
        return None if answer is None else str(answer["value"])

    @patiently
    def models(self, run: Run, steps: Iterable[Step]) -> dict[str, Mapping[str, Any]]:
        """Gets all metadata of the versions of models that a run and its steps are configured with.

        Args:
            run: the run.
            steps: steps of the run.

        Returns:
            The metadata by name of the model.
        """
        versions = {
            version.id: version for version in (run.model_version, *(s.model_version for s in steps)) if version
        }
        return {
            version.model: self._rest.get(f"model_versions/{version.id}", hydrate=True)["metadata"]["run_metadata"]
            for version in versions.values()
        }

    @patiently
    def log(self, log_id: str, lines: int) -> str:
        """Gets the end of what a step has printed, without the traceback that it may have died with.

        Args:
            log_id: UUID of the log, as in `Step.log_id`.
            lines: number of lines at most.
        """
        # An artifact store gives a log from its start only, so it can't be asked for the end.
        entries = self._rest.get(f"logs/{log_id}/entries")["items"]
        told = (entry["message"] for entry in entries if not entry["message"].startswith(_EXCEPTION))
        return "\n".join("\n".join(told).splitlines()[-lines:])

    def completed(
        self, run: Run, *, repository: str, branch: str, earlier: bool = False, most: int = 20
    ) -> Iterator[Run]:
        """Finds what a branch has completed of a run's pipeline, by what our orchestrator notes on runs.

        A pull request's runs don't count, even where its branch has the same name in a fork.

        Args:
            run: the run that is to be compared.
            repository: `owner/name` of the repository on GitHub.
            branch: name of the branch.
            earlier: whether only what began before the run counts.
            most: how many runs with the branch's name are looked at.

        Yields:
            The runs, the newest first.
        """
        filters: dict[str, Any] = {
            "tags": [repository, f"branch:{branch}"],
            "pipeline_id": run.pipeline_id,
            "status": "completed",
            "sort_by": "desc:created",
        }
        if earlier and run.index is not None:
            filters["index"] = f"lt:{run.index}"
        for number in range(1, -(-most // _CANDIDATES) + 1):
            runs, is_last = self._runs(number, filters)
            for candidate in runs:
                github = candidate.metadata.get(PROVENANCE)
                ref = github.get("ref") if isinstance(github, dict) else None
                if candidate.id != run.id and ref == f"refs/heads/{branch}":
                    yield candidate
            if is_last:
                return

    @patiently
    def _runs(self, number: int, filters: Mapping[str, Any]) -> tuple[list[Run], bool]:
        """A page of runs, and whether it is the last one."""
        page = self._rest.get("runs", page=number, size=_CANDIDATES, hydrate=True, **filters)
        runs = [
            Run.from_json(data, self._server.run_url(data["id"], data["body"]["project_id"])) for data in page["items"]
        ]
        return runs, number >= page["total_pages"]

    def _artifact_url(self, run: Run, version_id: str, project_id: str) -> str:
        # Only ZenML Pro has pages of artifacts; the open dashboard shows them in the graph of their run.
        info = self._server.info()
        return f"{info.dashboard_url}/projects/{project_id}/artifact-versions/{version_id}" if info.pro else run.url


def _next_steps(start: str, after: Mapping[str, list[str]], steps: Mapping[str, str]) -> Iterator[str]:
    """The nodes of the steps that come next, beyond the artifacts in between."""
    seen = {start}
    to_see = list(after.get(start, ()))
    while to_see:
        node = to_see.pop(0)
        if node in seen:
            continue
        seen.add(node)
        if node in steps:
            yield node
        else:
            to_see += after.get(node, ())
