"""What GitHub knows: repositories, who may write to them, pull requests, and all that is told of their commits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from localcloud.github.git import GitObjects
from localcloud.schemas.objects import CheckRun, Comment, Deployment, PullRequest, Push, Status


class Store:
    """The people's side of GitHub: what they make on its pages, and what they see there.

    Args:
        login: whom the token belongs to; a name that ends in `[bot]` is a bot's.

    Attributes:
        objects: what is in the repositories, as far as it came over the REST interface.
    """

    def __init__(self, login: str) -> None:
        self.login = login
        self.objects = GitObjects()
        self._repositories: set[str] = set()
        self._branches: dict[tuple[str, str], tuple[str, ...]] = {}
        self._pull_requests: dict[tuple[str, int], PullRequest] = {}
        self._comments: dict[int, Comment] = {}
        self._statuses: list[Status] = []
        self._check_runs: list[CheckRun] = []
        self._deployments: list[Deployment] = []
        self._roles: dict[tuple[str, str], str] = {}
        self._pushes: list[Push] = []
        self._next_id = 1

    def add_repository(self, repository: str) -> None:
        """Creates a repository, given as `owner/name`."""
        self._repositories.add(repository)

    def add_branch(self, repository: str, name: str, *commits: str) -> None:
        """Pushes a branch, in place of an earlier one of that name.

        Args:
            repository: `owner/name`; created if need be.
            name: name of the branch.
            commits: hashes of its commits, the oldest first.
        """
        self.add_repository(repository)
        self._branches[repository, name] = commits

    def add_collaborator(self, repository: str, login: str, role: str) -> None:
        """Gives somebody a role in a repository: `admin`, `maintain`, `write`, `triage` or `read`."""
        self._roles[repository, login] = role

    def role(self, repository: str, login: str) -> str:
        """The role of somebody in a repository; all the world may read a public one."""
        return self._roles.get((repository, login), "read")

    def push(
        self, repository: str, branch: str, before: str, after: str, moment: datetime, *, login: str = "octocat"
    ) -> None:
        """Moves a branch, and the open pull requests that come from it, to another commit at a moment of the past.

        Args:
            repository: `owner/name`.
            branch: name of the branch.
            before: hash of its commit before; 40 zeros where there was no branch.
            after: hash of its commit from then on.
            moment: when that was, not before any earlier push.
            login: who pushes.
        """
        push = Push(
            id=len(self._pushes) + 1,
            repository=repository,
            branch=branch,
            login=login,
            before=before,
            after=after,
            moment=moment,
        )
        self._pushes.append(push)
        for pull_request in self.pull_requests(repository):
            is_from_here = pull_request.head_repository == repository and pull_request.head_ref == branch
            if is_from_here and pull_request.state == "open" and pull_request.head_sha != after:
                pull_request.head_sha, pull_request.commits = after, (*pull_request.commits, after)

    def pushes(self, repository: str, ref: str) -> list[Push]:
        """Lists what has moved a branch, given by its name or full ref, the newest first."""
        branch = ref.removeprefix("refs/heads/")
        return [one for one in reversed(self._pushes) if (one.repository, one.branch) == (repository, branch)]

    def history(self, repository: str, name: str) -> tuple[str, ...] | None:
        """The commits of a branch, or those that lead to a commit, the oldest first; None where neither is known."""
        for (of, branch), commits in list(self._branches.items()):
            if of == repository and name in (branch, *commits):
                return commits if name == branch else commits[: commits.index(name) + 1]
        return None

    def add_pull_request(
        self,
        repository: str,
        number: int,
        head_sha: str,
        head_ref: str = "feature",
        *,
        base_ref: str = "main",
        base_sha: str = "0" * 40,
        head_repo: str | None = None,
        state: str = "open",
        merge_commit_sha: str | None = None,
        commits: tuple[str, ...] = (),
    ) -> PullRequest:
        """Opens a pull request.

        Args:
            repository: `owner/name` of the base; created if need be.
            number: of the pull request.
            head_sha: newest commit of the head branch.
            head_ref: head branch.
            base_ref: base branch.
            base_sha: commit of the base branch.
            head_repo: `owner/name` of the head; None: the same repository.
            state: `open` or `closed`.
            merge_commit_sha: the test merge, or the merge once merged.
            commits: older commits of the head branch.
        """
        self.add_repository(repository)
        pull_request = PullRequest(
            repository=repository,
            number=number,
            head_sha=head_sha,
            head_ref=head_ref,
            base_ref=base_ref,
            base_sha=base_sha,
            head_repository=head_repo or repository,
            state=state,
            merge_commit_sha=merge_commit_sha,
            commits=(*commits, head_sha),
        )
        self._pull_requests[repository, number] = pull_request
        return pull_request

    def pull_requests(self, repository: str) -> list[PullRequest]:
        """Lists the pull requests of a repository."""
        return [one for (of, _), one in list(self._pull_requests.items()) if of == repository]

    def add_comment(
        self, repository: str, number: int, body: str, *, login: str | None = None, association: str = "NONE"
    ) -> Comment:
        """Comments on a pull request as `login` (None: the token's own), an author of that association."""
        now = datetime.now(UTC)
        comment = Comment(
            id=self._next_id,
            repository=repository,
            number=number,
            login=login or self.login,
            association=association,
            history=[body],
            created=now,
            updated=now,
        )
        self._next_id += 1
        self._comments[comment.id] = comment
        return comment

    def delete_comment(self, comment_id: int) -> None:
        """Deletes a comment, as a person would on the page."""
        del self._comments[comment_id]

    def comment(self, comment_id: int) -> Comment | None:
        """A comment, unless it is deleted."""
        return self._comments.get(comment_id)

    def comments(self, repository: str, number: int) -> list[Comment]:
        """Lists the comments on a pull request, oldest first."""
        return [c for c in list(self._comments.values()) if (c.repository, c.number) == (repository, number)]

    def add_status(
        self, repository: str, sha: str, *, state: str, context: str, target_url: str | None, description: str | None
    ) -> Status:
        """Sets a commit status."""
        status = Status(
            id=len(self._statuses) + 1,
            repository=repository,
            sha=sha,
            login=self.login,
            state=state,
            context=context,
            target_url=target_url,
            description=description,
            created=datetime.now(UTC),
        )
        self._statuses.append(status)
        return status

    def statuses(self, repository: str, sha: str) -> list[Status]:
        """Lists every status that a commit has had, oldest first; of each context the last one counts."""
        return [one for one in list(self._statuses) if (one.repository, one.sha) == (repository, sha)]

    def add_check_run(self, repository: str, sha: str, name: str, external_id: str = "") -> CheckRun:
        """Queues a check run."""
        now = datetime.now(UTC)
        check_run = CheckRun(
            id=len(self._check_runs) + 1,
            repository=repository,
            sha=sha,
            name=name,
            external_id=external_id,
            status="queued",
            started=now,
        )
        self._check_runs.append(check_run)
        return check_run

    def check_runs(self, repository: str, sha: str) -> list[CheckRun]:
        """Lists the check runs of a commit, oldest first."""
        return [one for one in list(self._check_runs) if (one.repository, one.sha) == (repository, sha)]

    def check_run(self, check_run_id: int) -> CheckRun | None:
        """A check run."""
        return next((one for one in list(self._check_runs) if one.id == check_run_id), None)

    def add_deployment(
        self,
        repository: str,
        ref: str,
        environment: str,
        *,
        sha: str = "",
        task: str = "deploy",
        payload: dict[str, Any] | str = "",
        description: str | None = None,
        is_transient: bool = False,
        is_production: bool = False,
    ) -> Deployment:
        """Deploys a ref to an environment."""
        deployment = Deployment(
            id=len(self._deployments) + 1,
            repository=repository,
            sha=sha or ref,
            ref=ref,
            task=task,
            environment=environment,
            payload=payload,
            description=description,
            is_transient=is_transient,
            is_production=is_production,
            login=self.login,
            created=datetime.now(UTC),
        )
        self._deployments.append(deployment)
        return deployment

    def deployments(self, repository: str, environment: str | None = None) -> list[Deployment]:
        """Lists the deployments to an environment, whose case doesn't matter, or to all; oldest first."""
        return [
            one
            for one in list(self._deployments)
            if one.repository == repository and (environment is None or one.environment.lower() == environment.lower())
        ]

    def repository(self, name: str) -> str | None:
        """The name of a repository as it was created, whatever the case it is asked for in; None: there is none."""
        return next((known for known in self._repositories if known.lower() == name.lower()), None)
