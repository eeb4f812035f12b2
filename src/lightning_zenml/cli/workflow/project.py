"""What a repository shows of itself: where its pipeline begins, what it installs, its branch, its name on GitHub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightning_zenml.cli.errors import CliError
from lightning_zenml.cli.github import asked, repository_of
from lightning_zenml.cli.workflow.branch import DefaultBranch
from lightning_zenml.cli.workflow.entries import USUAL, Start, entries, start_of
from lightning_zenml.launch import requirements
from lightning_zenml.launch.own_code import lacking, may_install, text_of


@dataclass(frozen=True, kw_only=True)
class Project:
    """A repository.

    Args:
        root: root of the repository.
        repository: name on GitHub, `owner/name`; '' where that can't be told.
        default_branch: the default branch.
        working_directory: folder in which the pipeline is started, relative to the root.
        command: command that starts it there.
        commands: bash that installs what it imports of the repository itself, run in the root; '' for nothing.
        others: other files that may start a pipeline, relative to the root.
        requirements: file that lists what it installs, relative to the root; '' for none.
        to_do: what the user has to do about requirements, in words; '' for nothing.
        has_submodules: whether there are git submodules.
        has_lfs: whether there are Git LFS files.
    """

    root: Path
    repository: str
    default_branch: DefaultBranch
    working_directory: str
    command: str
    commands: str
    others: tuple[str, ...]
    requirements: str
    to_do: str
    has_submodules: bool
    has_lfs: bool

    @classmethod
    def of(cls, folder: Path, command: str = "") -> Project:
        """Looks at the repository around a folder.

        Args:
            folder: the folder.
            command: command that starts the pipeline in that folder, where the user says so; '': it is looked for.

        Raises:
            CliError: if no file looks like one that starts a pipeline.
        """
        root, folder = root_of(folder), folder.resolve()
        folder = folder if folder.is_relative_to(root) else root
        found = [] if command else entries(root, folder)
        if not command and not found:
            raise CliError(
                f"No Python file in {root}, down to three folders deep, looks like one that starts a ZenML pipeline "
                f'({", ".join(USUAL)}, or one with `if __name__ == "__main__":` that imports zenml). Name the command: '
                "`lightning-zenml init --run 'python my_script.py'`."
            )
        here = folder.relative_to(root).as_posix()
        start = start_of(root, found[0]) if found else Start(working_directory=here, command=command)
        file = requirements.overlooked(root, start.working_directory, [start.command])
        to_do = requirements.refusal(root / file) if file else ""
        package = lacking(root, start.working_directory, start.command)
        listed = [root / file] if file and not to_do else []
        is_installed = package is None or may_install([start.command], listed, package.name)
        return cls(
            root=root,
            repository=repository_of(root),
            default_branch=DefaultBranch.of(root),
            working_directory=start.working_directory,
            command=start.command,
            commands="" if package is None or is_installed else package.install,
            others=tuple(path.relative_to(root).as_posix() for path in found[1:]),
            requirements="" if to_do else file,
            to_do=f"{file}: {to_do}." if to_do else "",
            has_submodules=(root / ".gitmodules").is_file(),
            has_lfs="filter=lfs" in text_of(root / ".gitattributes"),
        )


def root_of(folder: Path) -> Path:
    """Root of the repository that a folder is in; the folder itself outside of any."""
    top = asked("git", "rev-parse", "--show-toplevel", folder=folder)
    return Path(top) if top else folder.resolve()
