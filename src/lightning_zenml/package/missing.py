"""What does not travel though the run may need it, in words for the user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

_MOST_SHOWN = 10
"""How many names a message holds."""


def warnings(
    *,
    unreadable: Mapping[str, str],
    absent_submodules: Sequence[str],
    pointers: Sequence[str],
    symlinks_out: Mapping[str, str],
) -> Iterator[str]:
    """Yields a message for each kind of thing that is missing, with the setting of actions/checkout that helps.

    Args:
        unreadable: git's reason by the name of each checkout that git can't read; '.' is the repository itself.
        absent_submodules: names of submodules that are not checked out.
        pointers: names of files in whose place there is a pointer of Git LFS.
        symlinks_out: target by the name of each symlink that leads out of the repository.
    """
    for name, reason in unreadable.items():
        where = "" if name == "." else f" {name!r}"
        yield (
            f"git can't read the checkout{where}, so its `.gitignore` files alone say what travels: "
            f"{reason.rstrip('.')}. A worktree, and any other `.git` that names a folder elsewhere, needs that folder "
            "too: check out with actions/checkout, into the workspace."
        )
    if absent_submodules:
        yield (
            f"Submodules are not checked out, so their files don't travel: {_shown(absent_submodules)}. In a workflow, "
            "set `submodules: true` of actions/checkout (`recursive` for submodules of submodules); elsewhere, run "
            "`git submodule update --init --recursive`."
        )
    if pointers:
        yield (
            f"Git LFS files are not fetched, so only pointers to them travel: {_shown(pointers)}. In a workflow, set "
            "`lfs: true` of actions/checkout; elsewhere, run `git lfs pull`."
        )
    if symlinks_out:
        targets = [f"{name!r} -> {target!r}" for name, target in symlinks_out.items()]
        more = f" and {len(targets) - _MOST_SHOWN} more" if len(targets) > _MOST_SHOWN else ""
        yield (
            f"Symlinks lead out of the repository, to where nothing is on the studio, and don't travel: "
            f"{', '.join(targets[:_MOST_SHOWN])}{more}. One that the run needs must be relative and point into the "
            "repository."
        )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(map(repr, names[:_MOST_SHOWN])) + more
