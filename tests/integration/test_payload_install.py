"""What the payload installs, how long it may take, and when it is left out."""

from __future__ import annotations

import hashlib
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from lightning_api import eventually
from lightning_zenml.launch.payload import install
from lightning_zenml.launch.payload.requirements import installers
from lightning_zenml.launch.payload.requirements.reason import explain, is_for_pip
from lightning_zenml.launch.payload.requirements.wanted import Wanted
from lightning_zenml.zenml_api.integrations import of_integrations
from payload_studio import Studio, is_running, write_wheel


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


BUILD_THAT_HANGS = "sleep 300 & echo $! > ../build; wait"


def test_the_timeout_covers_installing(studio: Studio) -> None:
    studio.replace_uv(BUILD_THAT_HANGS)
    studio.start(packages=["a-package"], timeout=5)
    failure = studio.finish()["failure"]
    assert failure["phase"] == "installing"
    assert "timeout" in failure["message"]
    build = int((studio.launch / "build").read_text())
    eventually(lambda: not is_running(build))


def test_a_stop_ends_an_install_with_its_builds(studio: Studio) -> None:
    studio.replace_uv(BUILD_THAT_HANGS)
    studio.start(packages=["a-package"])
    build = eventually(lambda: (studio.launch / "build").exists() and (studio.launch / "build").read_text())
    assert studio.call("stop")["stopping"]
    assert studio.finish()["stopped"]
    eventually(lambda: not is_running(int(build)))


STOPS_WITH_THE_BUILD = """
import os, time
while not os.path.exists(os.environ["LIGHTNING_ZENML_LAUNCH_DIR"] + "/build"):
    time.sleep(0.05)
"""


@pytest.mark.parametrize("changes", [{"packages": ["a-package"]}, {"commands": ["touch ../build; sleep 300"]}])
def test_what_is_watched_stops_installs_and_commands(studio: Studio, changes: dict[str, Any]) -> None:
    studio.replace_uv(BUILD_THAT_HANGS)
    studio.start(watch=["-c", STOPS_WITH_THE_BUILD], **changes)
    status = studio.finish()
    assert status["stopped"]
    assert status["failure"] is None


@pytest.mark.parametrize("watch", [["-c", "raise SystemExit(1)"], ["-c", "input()"]])
def test_a_watch_that_fails_or_sees_nothing_stops_nothing(studio: Studio, watch: list[str]) -> None:
    studio.start(watch=watch)
    assert studio.finish()["exit_code"] == 0


@pytest.mark.parametrize(
    ("line", "again"),
    [
        ("-e .", True),
        ("--editable=./pkg", True),
        (".", True),
        ("./pkg[gpu]", True),
        ("pkg/", True),
        ("pkg @ file:./pkg", True),
        ("dist/pkg-1.whl", True),
        ("six==1.17 ; python_version > '3'", False),
        ("six @ https://files.example/six-1.17.whl", False),
        ("-e git+https://git.example/six.git#egg=six", False),
        ("# as in ./setup.py", False),
        ("# a comment isn't continued \\\n./pkg", True),
        ("six \\\n  ==1.17 --hash=sha256:ab", False),
        ("six [gpu] >= 1, < 2", False),
        ("six (>=1)", False),
        ("'./pkg'", True),
        ("-e '${HERE}/pkg'", True),
        ("$HERE/pkg", True),
        ("-r ${HERE}.txt", True),
        ("-r https://files.example/base.txt", True),
        ("-rbase.txt", False),
        ("-r\t'base.txt'", False),
        ("--constraint=with space.txt", False),
        ("--extra-index-url https://${USER}:${TOKEN}@index.example/simple", False),
        ("--find-links wheels", True),
        ("six @ git+file:///six", True),
        ("/abs/pkg", True),
        ("-r pyproject.toml", False),
    ],
)
def test_what_comes_from_the_repository_is_installed_for_each_launch(tmp_path: Path, line: str, again: bool) -> None:
    codes = [tmp_path / launch / "code" for launch in ("l-1", "l-2")]
    for code in codes:
        code.mkdir(parents=True)
        (code / "requirements.txt").write_text(f"numpy\n  {line}\n")
        (code / "base.txt").write_text("six\n")
        (code / "with space.txt").write_text("six\n")
        (code / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["six"]\n')
    one, other = (install.digest(tmp_path / "wheel", ["-r requirements.txt"], code) for code in codes)
    assert (one != other) is again


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(
    "include",
    ["-rbase.txt", "-r 'base.txt'", "-r\tbase.txt", "--requirement=base.txt", "-r \\\r\n base.txt", "-c base.txt"],
)
def test_what_a_file_includes_counts_however_it_is_written(tmp_path: Path, include: str, encoding: str) -> None:
    (tmp_path / "a file.txt").write_bytes(f"{include}\r\n".encode(encoding))
    digests = set()
    for content in ("six==1.16", "six==1.17"):
        # ... and a file that includes the one by which it is included.
        (tmp_path / "base.txt").write_text(f"{content}\n-r a file.txt\n")
        digests.add(install.digest(tmp_path / "wheel", ["-r a file.txt"], tmp_path))
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("project", "certain"),
    [
        ('[project]\nname = "x"\ndependencies = ["six"]', True),
        ('[project]\nname = "x"\ndependencies = ["six @ file:///six"]', False),
        ('[project]\nname = "x"\ndynamic = ["dependencies"]', False),
        ('[project]\nname = "x"\ndependencies = ["a"]\n[tool.uv.sources]\na = {path = "a"}', False),
        ('[tool.poetry.dependencies]\na = {path = "a"}', False),
        ("[broken", False),
    ],
)
def test_what_a_project_says_of_itself_may_not_be_all(tmp_path: Path, project: str, certain: bool) -> None:
    (tmp_path / "pyproject.toml").write_text(project)
    assert Wanted(["-r pyproject.toml"], tmp_path).certain is certain


OLD_UV = """
  \u00d7 No solution found when resolving dependencies:
  ╰─▶ Because you require zenml==0.98.0 and zenml==0.70.0, we can conclude that
      your requirements are unsatisfiable.
"""
UV = """
Using Python 3.11.7 environment at: /home/zeus
error: No solution found when resolving dependencies
  cause: Because zenml==0.98.0 depends on pydantic>=2.0 and you require pydantic<2, we can conclude that
         your requirements are unsatisfiable.
"""


def test_a_pin_of_zenml_that_contradicts_the_server_is_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r base/all.txt\n")
    (tmp_path / "base").mkdir()
    (tmp_path / "base/all.txt").write_text("# ours\nzenml==0.70.0  # as always\n")
    assert explain(OLD_UV, ["zenml==0.98.0", "-r requirements.txt"], tmp_path) == (
        "`zenml==0.70.0` (base/all.txt, line 2) contradicts the ZenML server, which has version 0.98.0: client and "
        "server must be of the same. Write `zenml==0.98.0` or just `zenml` there, or use a server of that version. "
        "No solution found when resolving dependencies: Because you require zenml==0.98.0 and zenml==0.70.0, we can "
        "conclude that your requirements are unsatisfiable."
    )


def test_who_asks_for_what_conflicts_is_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six\nPydantic<2\n")
    told = explain(UV, ["zenml==0.98.0", "-r requirements.txt"], tmp_path)
    assert told.startswith("No solution found when resolving dependencies: Because zenml==0.98.0 depends on pydantic")
    assert told.endswith(
        "unsatisfiable. Asked for here: `Pydantic<2` (requirements.txt, line 2). The ZenML server has version 0.98.0, "
        "and its client must have the same."
    )


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("error: Unexpected '%', expected '-c': c.txt:1:1\n", "Unexpected '%', expected '-c': c.txt:1:1."),
        (
            "  \x1b[31m\u00d7\x1b[0m Failed to build `x`\n  ├─▶ The build failed\n  ╰─▶ exit status: 1",
            "Failed to build `x`: The build failed exit status: 1.",
        ),
        ("ERROR: No matching distribution found for x\n", "No matching distribution found for x."),
        (
            "ERROR: Cannot install x and y because of conflicting dependencies.\nERROR: ResolutionImpossible: for help",
            "Cannot install x and y because of conflicting dependencies.",
        ),
        ("", ""),
    ],
)
def test_the_installers_own_words_are_kept(tmp_path: Path, output: str, words: str) -> None:
    assert explain(output, ["x"], tmp_path) == words


@pytest.mark.parametrize(
    ("words", "is_unread"),
    [
        ("error: Expected '=' or whitespace, found Some('b'): b.txt:1:3", True),
        ("\x1b[31merror\x1b[0m: Couldn't parse requirement in `j.txt` at position 0", True),
        ("  \u00d7 Couldn't parse requirement in `j.txt` at position 0", True),
        ("error: Error parsing included file in `i.txt` at position 0\n  cause: Is a directory", True),
        ("error: Unexpected '\"', expected '-c', '-e', '-r' or the start of a requirement: f3.txt:1:1", True),
        ("error: Distribution not found at: file:///code/%22./lib%20sp%22", True),
        ("error: No solution found when resolving dependencies\n  cause: Because you parse", False),
        ("error: Failed to build `x`\n  cause: Expected a string", False),
        ("error: Request failed after 3 retries in 8.7s", False),
    ],
)
def test_what_pip_may_read(words: str, is_unread: bool) -> None:
    assert is_for_pip(words) is is_unread


def test_the_reason_is_in_the_launchs_failure(studio: Studio) -> None:
    """uv's own answer, offline: there is no index to ask."""
    (studio.scratch / "repository").mkdir()
    (studio.scratch / "repository/all of it.txt").write_text("zenml==0.70.0\n")
    studio.start(packages=["zenml==0.98.0"], requirements=["-r all of it.txt"])
    message = studio.finish()["failure"]["message"]
    told = "The requirements can't be installed (exit code 1). `zenml==0.70.0` (all of it.txt, line 1) contradicts "
    assert message.startswith(told)


UNREAD = """
case "$*" in *" -r "*)
    echo "error: Expected '=' or whitespace, found Some('b'): all.txt:1:3"
    exit 2
esac
echo uv installs: $(cat) "$@"
"""
PIP = """
import sys
print("pip installs:", *sys.argv[2:], "with", *sys.stdin.read().split())
sys.exit("ERROR: No matching distribution found for none" if "none" in open("base.txt").read() else 0)
"""


@pytest.mark.parametrize("there", [True, False])
def test_what_uv_cannot_read_is_left_to_pip(studio: Studio, there: bool) -> None:
    studio.replace_uv(UNREAD)
    pip = next(studio.python.parents[1].glob("lib/*/site-packages")) / "pip"
    pip.mkdir()
    (pip / "__init__.py").touch()
    (pip / "__main__.py").write_text(PIP)
    (studio.scratch / "repository").mkdir()
    (studio.scratch / "repository/all.txt").write_text("-rbase.txt\n")
    (studio.scratch / "repository/base.txt").write_text("six\n" if there else "none\n")
    studio.start(packages=["zenml==0.98.0"], requirements=["-r all.txt"])
    status = studio.finish()
    assert re.search(
        r"pip installs: --disable-pip-version-check \S+\.whl -r /dev/stdin -r all.txt with zenml==0.98.0\n", studio.log
    )
    if there:
        assert status["exit_code"] == 0
        # ... whose version pip may find installed.
        assert re.search(r"uv installs: .*--reinstall-package lightning-zenml \S+\.whl\n", studio.log)
    else:
        told = "The requirements can't be installed (exit code 1). No matching distribution found for none."
        assert status["failure"]["message"] == told


HASHED = r"""
asked="$* $(cat)"
case "$asked" in *" -r all.txt"*six*)
    echo "error: In \`--require-hashes\` mode, all requirements must have a hash, but none were provided for: six"
    exit 2
esac
echo "uv installs: $asked"
"""


def test_what_has_no_hash_is_installed_after_files_that_demand_one(studio: Studio) -> None:
    studio.replace_uv(HASHED)
    (studio.scratch / "repository").mkdir()
    (studio.scratch / "repository/all.txt").write_text("--require-hashes\niniconfig==2.0.0 --hash=sha256:ab\n")
    studio.start(packages=["six"], requirements=["-r all.txt"])
    assert studio.finish()["exit_code"] == 0
    assert [line.split()[-1] for line in re.findall(r"^uv installs: .*", studio.log, re.MULTILINE)] == [
        "all.txt",
        "six",
    ]


@pytest.mark.parametrize("installer", ["uv", "pip"])
@pytest.mark.parametrize("demand", ["", "--require-hashes\n"])
def test_what_has_hashes_stands_beside_what_has_none(studio: Studio, installer: str, demand: str) -> None:
    """Real installers; pip demands hashes of all as soon as something has one."""
    studio.note_programs()
    code = studio.scratch / "repository"
    (code / "wheels").mkdir(parents=True)
    digests = {name: sha256(write_wheel(code / "wheels", name)) for name in ("hashed", "listed", "plain")}
    (code / "hashed.txt").write_text(f"{demand}hashed==1 \\\n  --hash=sha256:{digests['hashed']}\n")
    (code / "plain.txt").write_text("plain\n")
    requirements = ["--no-index", "--find-links wheels", "listed==1", "-r hashed.txt", "-r plain.txt"]
    studio.start(requirements=requirements, installer=installer)
    assert studio.finish()["exit_code"] == 0, studio.log
    packages = next(studio.python.parents[1].glob("lib/*/site-packages"))
    assert {path.name for path in packages.glob("*-1.dist-info")} == {f"{name}-1.dist-info" for name in digests}
    assert ("Successfully installed" in studio.log) is (installer == "pip")


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_hash_of_another_file_installs_nothing(studio: Studio, installer: str) -> None:
    studio.note_programs()
    code = studio.scratch / "repository"
    (code / "wheels").mkdir(parents=True)
    write_wheel(code / "wheels", "hashed")
    requirements = ["--no-index", "--find-links wheels", f"hashed==1 --hash=sha256:{'0' * 64}"]
    studio.start(requirements=requirements, installer=installer)
    message = studio.finish()["failure"]["message"]
    assert re.search("(?i)hash", message)
    assert not list(studio.python.parents[1].glob("lib/*/site-packages/hashed-1.dist-info"))


@pytest.mark.parametrize("mode", ["--require-hashes", "`--require-hashes`"])
def test_either_installer_says_that_all_needs_hashes(mode: str) -> None:
    assert installers._WITH_HASHES.search(f"ERROR: In {mode} mode, all requirements must have ...")


def test_what_a_private_index_is_asked_with_is_shown_nowhere(studio: Studio) -> None:
    studio.replace_uv("echo 'error: No solution found because six was not found'; exit 1")
    (studio.scratch / "repository").mkdir()
    (studio.scratch / "repository/all.txt").write_text("six @ https://ada:s3cret@index.example/six.whl\n")
    index = "--extra-index-url https://ada:s3cret@index.example/simple"
    studio.start(packages=["zenml==0.98.0"], requirements=[index, "-r all.txt"])
    status = studio.finish()
    assert "`six @ https://***@index.example/six.whl` (all.txt, line 1)" in status["failure"]["message"]
    assert "s3cret" not in str(status)
    assert "s3cret" not in studio.log


def test_the_second_launch_runs_its_own_code(studio: Studio) -> None:
    """uv is ours here; what it would be asked is what counts."""
    studio.replace_uv("echo installed from $PWD")
    (studio.scratch / "repository").mkdir()
    (studio.scratch / "repository/requirements.txt").write_text("-e .\n")
    for launch_id in ("l-1", "l-2"):
        studio.start(launch_id, requirements=["-r requirements.txt"])
        assert studio.finish(launch_id)["exit_code"] == 0
        assert f"installed from {studio.root}/launches/{launch_id}/code" in studio.log


def test_what_has_not_changed_is_not_installed_again(studio: Studio) -> None:
    studio.replace_uv("echo installed from $PWD")
    for launch_id in ("l-1", "l-2"):
        studio.start(launch_id, packages=["six"])
        assert studio.finish(launch_id)["exit_code"] == 0
    assert studio.log.count("installed from") == 1


OPPOSED = """
case "$*" in *--constraint*)
    echo "error: No solution found when resolving dependencies"
    echo "  cause: Because you require gcsfs==2025.1.0 and gcsfs==2024.12.0, we can conclude that ..."
    exit 1
esac
echo installed without a lock
"""


def test_requirements_that_contradict_our_lock_are_resolved_without_it(studio: Studio) -> None:
    studio.replace_uv(OPPOSED)
    studio.start(packages=["zenml==0.98.0", *of_integrations(["gcp"])])
    assert studio.finish()["exit_code"] == 0
    assert "installed without a lock" in studio.log
    # Nobody has asked for that version of it.
    assert "No solution" not in studio.log


def test_installs_that_change_nothing_of_each_other_are_both_remembered(studio: Studio) -> None:
    packages = next(studio.python.parents[1].glob("lib/*/site-packages"))
    studio.replace_uv(
        f'asked=$(cat); echo "installed $asked"; cd {packages}; case "$asked" in *six*) mkdir -p six-1.17.dist-info;; '
        "*two*) mkdir -p two-1.dist-info;; *one*) mv six-1.17.dist-info six-1.0.dist-info;; esac"
    )
    asked = ["six", "two", "six", "two", "one", "six"]
    for number, package in enumerate(asked):
        studio.start(f"l-{number}", packages=[package])
        assert studio.finish(f"l-{number}")["exit_code"] == 0
    installs = re.findall(r"^installed .*(six|two|one)$", studio.log, re.MULTILINE)
    assert installs == ["six", "two", "one", "six"]


def test_a_command_that_replaces_zenml_is_named_where_the_run_fails(studio: Studio) -> None:
    studio.replace_uv("true")
    package = f"zenml=={metadata.version('zenml')}"
    replaced = (
        "import pathlib, sysconfig; p = pathlib.Path(sysconfig.get_path('purelib')) / 'zenml-0.85.0.dist-info'; "
        "p.mkdir(); (p / 'METADATA').write_text('Metadata-Version: 2.1\\nName: zenml\\nVersion: 0.85.0\\n')"
    )
    studio.start(packages=[package], commands=[f'{studio.python} -c "{replaced}"'], command="false")
    assert studio.finish()["failure"]["message"] == (
        f"The run failed with exit code 1: false (a command has replaced {package}, which is the server's version, by "
        f"0.85.0: let it install `{package}`, or leave zenml out)"
    )
