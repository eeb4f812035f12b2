"""Which installer has a try, and with what: uv, pip where uv can't, what demands hashes by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_zenml.launch.payload.locks.lock import Lock, Outcome
from lightning_zenml.launch.payload.protocol import Installer
from lightning_zenml.launch.payload.requirements.given import Given, given
from lightning_zenml.launch.payload.requirements.reason import is_for_pip
from lightning_zenml.launch.payload.requirements.wanted import Wanted

ERROR = re.compile(r"(?i)\s*(?:\x1b\[[0-9;]*m)*(?:error\b|\xd7)")
"""Begins a line in which an installer tells of an error."""
_WITH_HASHES = re.compile(r"--require-hashes\W{1,3}mode|Can't verify hashes for")
"""How uv and pip say that nothing may be without a hash, as something has one: uv, where that is demanded."""

_Program = Callable[[Sequence[str], Path | None], Outcome]


@dataclass(frozen=True)
class Installers:
    """Installers of one Python environment.

    Args:
        python: the environment's Python.
        uv: command line of uv.
        lock: what uv need not look for.
        code: root of the repository.
        environment: variables of the installers.
        run: runs an installer: its arguments, the text of its standard input, and further variables.
        say: writes to the log.
    """

    python: str
    uv: Sequence[str]
    lock: Lock
    code: Path
    environment: Mapping[str, str]
    run: Callable[[Sequence[str], str, Mapping[str, str]], Outcome]
    say: Callable[[str], None]

    def install(self, specifiers: Sequence[str], wheel: Path | None, first: Installer = Installer.UV) -> Outcome:
        """Installs all as one resolution, so that a conflict is found before anything changes.

        Args:
            specifiers: and `-r FILE`.
            wheel: ours, to be installed anew.
            first: what installs it all.

        Returns:
            How the last installer that had a try has ended.
        """
        if first is Installer.PIP:
            return self._tried(self._by_pip, specifiers, wheel)
        outcome = self._tried(self._by_uv, specifiers, wheel)
        if outcome.exit_code and is_for_pip(outcome.error):
            self.say("uv can't read these requirements; pip may\n")
            outcome = self._tried(self._by_pip, specifiers, wheel)
        return outcome

    def _tried(self, installer: _Program, specifiers: Sequence[str], wheel: Path | None) -> Outcome:
        """Installs all at once; what has hashes first, where nothing without one may stand beside it."""
        outcome = self._heard(installer(specifiers, wheel))
        hashed = [one for one in specifiers if self._has_hashes(one)]
        if outcome.exit_code and hashed and _WITH_HASHES.search(outcome.error):
            self.say("Requirements with hashes are installed first, by themselves\n")
            options = [one for one in specifiers if one.startswith("-") and not one.startswith("-r ")]
            outcome = self._heard(installer([*options, *hashed], None))
            if outcome.exit_code == 0:
                rest = [one for one in specifiers if one not in hashed and one != "--require-hashes"]
                outcome = self._heard(installer(rest, wheel))
        return outcome

    def _has_hashes(self, specifier: str) -> bool:
        return any("--hash" in line.text for line in Wanted([specifier], self.code).lines)

    def _heard(self, outcome: Outcome) -> Outcome:
        if outcome.error:
            self.say(outcome.error)
        return outcome

    def _by_uv(self, specifiers: Sequence[str], wheel: Path | None) -> Outcome:
        asked = given(specifiers, self.environment, index="UV_DEFAULT_INDEX")
        command = self._uv_command(wheel)
        # From there uv reads the lines.
        lines = ["-r", "-"] if asked.lines else []
        return self.lock.tried(lambda options: self._run([*command, *options, *lines], asked))

    def _by_pip(self, specifiers: Sequence[str], wheel: Path | None) -> Outcome:
        own = [str(wheel)] if wheel else []
        asked = given(specifiers, self.environment)
        lines = ["-r", "/dev/stdin"] if asked.lines else []
        command = [self.python, "-m", "pip", "install", "--disable-pip-version-check", *own, *lines]
        outcome = self._run(command, asked)
        # pip keeps what has the same version, and would install everything anew if told not to.
        if wheel and outcome.exit_code == 0:
            outcome = self._run(self._uv_command(wheel), given([], self.environment))
        return outcome

    def _uv_command(self, wheel: Path | None) -> list[str]:
        own = ["--reinstall-package", "lightning-zenml", str(wheel)] if wheel else []
        return [*self.uv, "pip", "install", "--python", self.python, *own]

    def _run(self, command: Sequence[str], asked: Given) -> Outcome:
        return self.run([*command, *asked.arguments], asked.lines, asked.variables)
