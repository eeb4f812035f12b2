"""Where a launch comes from: what its comment and commit status hang on, also when a later workflow attaches."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lightning_zenml.action.github.client import PullRequest
from lightning_zenml.action.github.comments import Marker
from lightning_zenml.action.github.event import Event
from lightning_zenml.action.inputs import COMMENT_KEY_LIMIT, LEG_LIMIT, Inputs

_MOST_PARAMETERS = 8
_NAME_LIMIT = 255
"""Characters of a status's context, and of an environment's name."""
_NOT_IN_AN_ENVIRONMENT = r"""['"`,;\\\x00-\x1f\x7f]"""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The workflow run, job and matrix leg that started a launch.

    Args:
        sha: hash of the commit that runs; '' when it isn't known.
        branch: name of the commit's branch; '' for a tag.
        pull_requests: numbers of the pull requests that the event names; none: those of the commit are looked for.
        comment_key: text that tells several comments on one pull request apart.
        leg: leg of the matrix, e.g. `gpu=T4, lr=0.1`, or its name by the input `leg`; '' without either.
        run_id: id of the workflow run.
        run_attempt: number of the attempt of that run.
        command: the command in a comment that has asked for it; '' for none.
        comment_id: id of that comment, which has an answer of its own; 0 for none.
        is_shared: whether the legs of the workflow share one comment.
        check_run: whether there is a check run for it.
        deployment: whether there is a deployment for it.
        parameters: names and values of the matrix, where they do.
        is_of_tag: whether it is of a tag.
    """

    sha: str
    branch: str
    pull_requests: tuple[int, ...]
    comment_key: str
    leg: str
    run_id: int
    run_attempt: int
    command: str = ""
    comment_id: int = 0
    is_shared: bool = False
    check_run: bool = False
    deployment: bool = False
    parameters: tuple[tuple[str, str], ...] = ()
    is_of_tag: bool = False

    @classmethod
    def of(cls, event: Event, inputs: Inputs) -> Origin:
        """The origin of a launch that this workflow run starts."""
        leg = inputs.leg or leg_of(inputs.matrix)
        job = f"{event.workflow}/{event.job}" + (f" ({leg})" if leg else "")
        return cls(
            sha=event.head_sha,
            branch=event.branch,
            pull_requests=event.pull_requests,
            comment_key=inputs.comment_key or _shortened(job, COMMENT_KEY_LIMIT),
            leg=leg,
            run_id=int(event.run_id) if event.run_id.isdecimal() else 0,
            run_attempt=event.run_attempt,
            command=event.command,
            comment_id=event.comment_id,
            is_shared=bool(inputs.leg),
            check_run=inputs.check_run,
            deployment=inputs.deployment,
            parameters=_parameters(inputs.matrix) if inputs.leg else (),
            is_of_tag=event.ref.startswith("refs/tags/"),
        )

    @classmethod
    def of_run(cls, metadata: Mapping[str, Any], repository: str) -> Origin | None:
        """The origin of a pipeline run, by the metadata `github` that it got from this action.

        Args:
            metadata: metadata of the run in ZenML.
            repository: name of this repository, `owner/name`; a launch of another says nothing on our pull requests.
        """
        github = metadata.get("github")
        if not isinstance(github, dict) or github.get("repository") != repository:
            return None
        try:
            return cls.from_json(github["origin"])
        except (KeyError, TypeError, ValueError):
            return None

    @classmethod
    def from_json(cls, text: str) -> Origin:
        """The way back from `as_json`.

        Raises:
            KeyError: if a field is missing.
            TypeError: if a field is unknown, or of another kind.
            ValueError: if the text is no JSON.
        """
        found = json.loads(text)
        numbers = tuple(int(number) for number in found["pull_requests"])
        parameters = tuple((str(name), str(value)) for name, value in found.get("parameters", ()))
        return cls(**{**found, "pull_requests": numbers, "parameters": parameters})

    def as_json(self) -> str:
        """As text, for metadata of a run and for `post`."""
        return json.dumps(asdict(self))

    def is_for(self, pull_request: PullRequest) -> bool:
        """Whether the pull request that has the commit, too, brings it: `main` may have been moved to it, or a tag put.

        Args:
            pull_request: a pull request, which the event does not name.
        """
        if not self.branch:
            return not self.is_of_tag
        return self.branch == pull_request.head_ref and not pull_request.is_fork

    @property
    def context(self) -> str:
        """Name of its commit status and check run: each leg has one, though they share a comment."""
        return _shortened(f"{self.comment_key} ({self.leg})" if self.is_shared else self.comment_key, _NAME_LIMIT)

    @property
    def attempt(self) -> str:
        """By which a check run or deployment of this name is known as this launch's, e.g. `1658821493/1`."""
        return f"{self.run_id}/{self.run_attempt}"

    @property
    def environment(self) -> str:
        """Name of the environment that it is deployed to: of its branch, and of its commit status."""
        name = f"{self.branch or 'tags'}/{self.context}"
        return _shortened(re.sub(_NOT_IN_AN_ENVIRONMENT, "", name), _NAME_LIMIT)

    @property
    def marker(self) -> Marker:
        """Of its comment: one of its own where a command has asked for it, so that it stands below that."""
        answered = f" in answer to {self.comment_id}" if self.comment_id else ""
        return Marker(key=f"{self.comment_key}{answered}", run_id=self.run_id, run_attempt=self.run_attempt)


def _parameters(matrix: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _shortened(_word(value), LEG_LIMIT)) for name, value in matrix.items())[:_MOST_PARAMETERS]


def leg_of(matrix: Mapping[str, Any]) -> str:
    """A matrix leg in a few words, the same for the same leg: `gpu=T4, lr=0.1`; '' without a matrix.

    Args:
        matrix: the `matrix` context of GitHub.
    """
    return _shortened(", ".join(f"{name}={_word(value)}" for name, value in matrix.items()), LEG_LIMIT)


def _shortened(words: str, limit: int) -> str:
    """The words, cut where they are too long, in such a way that different ones stay different."""
    if len(words) <= limit:
        return words
    digest = hashlib.sha256(words.encode(errors="replace")).hexdigest()[:8]
    return f"{words[: limit - len(digest) - 2].rstrip()}… {digest}"


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
