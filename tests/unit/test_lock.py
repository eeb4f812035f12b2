"""The locks that travel to studios, and which of them a launch gets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from zenml.integrations.registry import integration_registry

from lightning_zenml.launch.payload.locks import lock
from lightning_zenml.launch.payload.locks.lock import FOR, Lock, Outcome
from lightning_zenml.zenml_api.integrations import of_integrations
from lightning_zenml.zenml_api.versions import NEWEST_TESTED, OLDEST

FOLDER = Path(lock.__file__).parent
FILES = sorted(FOLDER.glob("*.txt"))
ZENML = f"zenml=={NEWEST_TESTED}"
S3 = of_integrations(["s3"])


@pytest.fixture(autouse=True)
def studio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock.platform, "system", lambda: "Linux")
    monkeypatch.setattr(lock.platform, "machine", lambda: "x86_64")


def find(*specifiers: str, asked: Sequence[str] = (), there: Sequence[str] = (), **environment: str) -> dict[str, str]:
    """What is locked: versions by name."""
    found = Lock.find(specifiers, asked=[*specifiers, *asked], there=there, environment=environment)
    return dict(line.split(" ")[0].split("==") for line in found.lines)


def minor(version: str) -> str:
    return version.rpartition(".")[0]


def test_there_is_one_for_each_version_and_usual_store() -> None:
    names = {
        f"{minor(version)}-{kind}.txt"
        for version in (OLDEST, NEWEST_TESTED)
        for kind in ("plain", "s3", "gcp", "azure")
    }
    assert {file.name for file in FILES} == names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_lock_holds_what_it_is_for_by_version_and_hash_and_names_no_host(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert "://" not in file.read_text()
    locked = {}
    for line in lines:
        if not line.startswith("#"):
            found = re.fullmatch(r"([a-z0-9.-]+)==(\S+)(?: ; [^-]+)?(?: --hash=sha256:[0-9a-f]{64})+", line)
            assert found, line
            locked[found[1]] = found[2]
    for wanted in (Requirement(line.removeprefix(FOR)) for line in lines if line.startswith(FOR)):
        assert wanted.specifier.contains(locked[wanted.name], prereleases=True)
    assert minor(locked["zenml"]) == file.name.partition("-")[0]


@pytest.mark.parametrize("integration", ["s3", "gcp", "azure"])
def test_a_lock_is_for_what_zenml_wants(integration: str) -> None:
    wanted = sorted(integration_registry.select_integration_requirements(integration))
    assert lock.wanted_by(integration, NEWEST_TESTED) == tuple(wanted)
    assert of_integrations([integration, "lightning"]) == tuple(wanted)
    # Together with one that has no lock.
    assert set(wanted) < set(of_integrations([integration, "wandb"]))


def test_the_lock_is_that_of_the_servers_version_and_the_stacks_store() -> None:
    plain, s3, gcp = find(ZENML), find(ZENML, *S3, "wandb"), find(ZENML, *of_integrations(["gcp"]))
    assert "boto3" not in plain
    assert "boto3" in s3
    assert "gcsfs" in gcp
    assert find(f"zenml=={OLDEST}")["zenml"] == OLDEST
    assert find("zenml==0.1.0") == find("six") == {}


@pytest.mark.parametrize(
    "asked",
    ["boto3==1.40.1", "Boto3 >= 1", "boto3 @ https://files.example/boto3.whl", "boto3==1.43.117 --hash=sha256:ab"],
)
def test_what_the_user_decides_is_not_locked(asked: str) -> None:
    assert "boto3" not in find(ZENML, *S3, asked=[asked])


@pytest.mark.parametrize("asked", ["boto3", "boto3[crt]", "./boto3", "-e ."])
def test_what_the_user_only_names_is_locked(asked: str) -> None:
    assert "boto3" in find(ZENML, *S3, asked=[asked])


def test_a_later_fix_of_zenml_has_the_lock_of_its_minor_version() -> None:
    assert find(f"{ZENML}1") == {name: version for name, version in find(ZENML).items() if name != "zenml"}


def test_what_is_there_stays_as_it_is() -> None:
    there = ["typing_extensions-4.0.0", "PyYAML-6.0-py3.11", "click-8.1.0"]
    assert find(ZENML).keys() - find(ZENML, there=there).keys() == {"typing-extensions", "pyyaml", "click"}


def test_other_machines_and_users_with_constraints_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(ZENML, UV_CONSTRAINT="mine.txt") == {}
    monkeypatch.setattr(lock.platform, "machine", lambda: "aarch64")
    assert find(ZENML) == {}


class Installer:
    """Refuses as uv does, as often as it has words for."""

    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)
        self.constraints: list[str] = []

    def __call__(self, options: Sequence[str]) -> Outcome:
        self.constraints.append(Path(options[1]).read_text() if options else "")
        return Outcome(1, self.errors.pop(0)) if self.errors else Outcome(0, "")


LOCK = Lock(("pydantic==2.12.5 --hash=sha256:ab", "pydantic-core==2.41.5 --hash=sha256:ab", "six==1.17.0"))
NO_SOLUTION = "error: No solution found when resolving dependencies\n  cause: Because you require "


def test_what_opposes_the_lock_leaves_it() -> None:
    uv = Installer(
        f"{NO_SOLUTION}pydantic==2.9.0 and pydantic==2.12.5, we can conclude that ...",
        "error: Failed to download `Pydantic_Core==2.41.5`\n  cause: Hash mismatch for `Pydantic_Core==2.41.5`",
    )
    assert LOCK.tried(uv).exit_code == 0
    assert [text.count("==") for text in uv.constraints] == [3, 2, 1]


def test_another_error_is_not_tried_again() -> None:
    uv = Installer("error: six: No space left on device")
    assert LOCK.tried(uv).exit_code == 1
    assert len(uv.constraints) == 1


def test_a_conflict_of_what_is_not_locked_is_told_without_the_lock() -> None:
    conflict = f"{NO_SOLUTION}zenml==0.98.0 and zenml==0.70.0, ..."
    uv = Installer(conflict, conflict)
    assert LOCK.tried(uv) == Outcome(1, conflict)
    assert [text.count("==") for text in uv.constraints] == [3, 0]


def test_in_the_end_the_requirements_stand_alone() -> None:
    many = Lock(tuple(f"a{number}==1" for number in range(9)))
    uv = Installer(*(f"{NO_SOLUTION}a{number}==2 and ..." for number in range(9)))
    assert many.tried(uv).exit_code == 1
    assert [text.count("==") for text in uv.constraints] == [9, 8, 7, 6, 5, 0]
