"""`lightning-zenml init` writes a workflow that the Action takes as it is, and `--check` tells what one lacks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from lightning_zenml.cli.errors import CliError
from lightning_zenml.cli.workflow.branch import DefaultBranch
from lightning_zenml.cli.workflow.check import check
from lightning_zenml.cli.workflow.init import Services, workflow
from lightning_zenml.cli.workflow.project import Project

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
PROJECT = '[project]\nname = "vision"\nversion = "1"\ndependencies = ["torch"]\n'
INSTALLED = {"requirements": "pyproject.toml", "commands": "pip install -e ."}
SERVES = 'import fastapi\nif __name__ == "__main__":\n    pass\n'
STARTS = 'from zenml import pipeline\nif __name__ == "__main__":\n    pass\n'


def lay_out(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def run(
    root: Path, *arguments: str, code: int = 0, folder: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(root),
        "NO_COLOR": "1",
        "GIT_ALLOW_PROTOCOL": "file",
        **variables,
    }
    command = [BIN / "lightning-zenml", "init", *arguments]
    done = subprocess.run(command, cwd=folder or root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("files", "inputs"),
    [
        ({"run.py": "print()"}, {"run": "python run.py"}),
        ({"run.py": STARTS, "train.py": STARTS, "requirements.txt": "torch"}, {"requirements": "requirements.txt"}),
        ({"main.py": STARTS, "steps/train.py": "import zenml"}, {"run": "python main.py"}),
        ({"my_own.py": STARTS, "utils.py": "x = 1"}, {"run": "python my_own.py"}),
        (
            {"ml/run.py": STARTS, "ml/requirements.txt": "torch", "tests/run.py": STARTS},
            {"run": "python run.py", "working-directory": "ml", "requirements": "ml/requirements.txt"},
        ),
        (
            {"run.py": STARTS, "pyproject.toml": '[project]\nname = "x"\nversion = "1"\ndependencies = ["torch"]'},
            {"requirements": "pyproject.toml"},
        ),
        (
            {"pyproject.toml": PROJECT, "src/vision/__init__.py": "", "src/vision/train.py": STARTS},
            {"run": "python -m vision.train", "working-directory": None, **INSTALLED},
        ),
        (
            {"pyproject.toml": PROJECT, "src/acme/vision/main.py": f"from acme.vision.steps import x\n{STARTS}"}
            | {"src/acme/vision/steps.py": ""},
            {"run": "python -m acme.vision.main", **INSTALLED},
        ),
        (
            {"setup.py": "setup(package_dir={'': 'lib'})", "lib/vision/__main__.py": f"from . import steps\n{STARTS}"},
            {"run": "python -m vision", "commands": "pip install -e ."},
        ),
        (
            {"src/vision/__init__.py": "", "src/vision/train.py": f"from .steps import x\n{STARTS}"},
            {"run": "python -m vision.train", "working-directory": "src", "commands": None},
        ),
        (
            {"src/__init__.py": "", "src/train.py": f"from src.steps import x\n{STARTS}", "src/steps.py": ""},
            {"run": "python -m src.train", "working-directory": None, "commands": None},
        ),
        (
            {"src/train.py": f"from steps import x\n{STARTS}", "src/steps.py": ""},
            {"run": "python train.py", "working-directory": "src", "commands": None},
        ),
        (
            {"pyproject.toml": PROJECT, "vision/train.py": f"from .steps import x\n{STARTS}"},
            {"run": "python -m vision.train", "working-directory": None, "commands": None},
        ),
        (
            {"pyproject.toml": PROJECT, "run.py": f"from vision import x\n{STARTS}", "src/vision/__init__.py": ""},
            {"run": "python run.py", **INSTALLED},
        ),
        (
            {"pyproject.toml": PROJECT, "requirements.txt": "-e .\n", "src/vision/train.py": STARTS},
            {"run": "python -m vision.train", "requirements": "requirements.txt", "commands": None},
        ),
        (
            {"services/train/run.py": STARTS, "services/train/requirements.txt": "", "services/api/main.py": SERVES},
            {
                "run": "python run.py",
                "working-directory": "services/train",
                "requirements": "services/train/requirements.txt",
            },
        ),
        (
            {"services/train/pyproject.toml": PROJECT, "services/train/src/vision/train.py": STARTS},
            {
                "run": "python -m vision.train",
                "working-directory": "services/train",
                "requirements": "services/train/pyproject.toml",
                "commands": "pip install -e ./services/train",
            },
        ),
        (
            {"a/b/c/run.py": STARTS, "a/b/c/d/train.py": STARTS, "a/venv/pyvenv.cfg": "", "a/venv/run.py": STARTS}
            | {".cache/run.py": STARTS, "lib/.git": "gitdir: x", "lib/run.py": STARTS, "a/tests/run.py": STARTS},
            {"run": "python run.py", "working-directory": "a/b/c"},
        ),
        (
            {"mlflow/run.py": f"import mlflow\nfrom zenml.client import Client\n{STARTS}"},
            {"run": "python run.py", "working-directory": "mlflow"},
        ),
    ],
    ids=[
        *("nothing but run.py", "requirements.txt", "main.py", "another name", "a folder", "pyproject.toml"),
        *("src", "a namespace", "another name for src", "src without a project", "src as a package", "src for scripts"),
        *(
            "a package",
            "a script beside src",
            "src in requirements.txt",
            "monorepo",
            "src in a monorepo",
            "what is ours",
        ),
        "a folder called like a library",
    ],
)
def test_a_repository_shows_what_its_workflow_needs(
    tmp_path: Path, files: dict[str, str], inputs: dict[str, str]
) -> None:
    project = Project.of(lay_out(tmp_path, files))
    text = workflow(project, Services(), "cpu")

    file = lay_out(tmp_path, {".github/workflows/train.yml": text}) / ".github/workflows/train.yml"
    given = yaml.safe_load(text)["jobs"]["train"]["steps"][-1]["with"]
    assert {name: given.get(name) for name in inputs} == inputs
    assert check(tmp_path, file).findings == ()
    assert subprocess.run([BIN / "actionlint", file], check=False).returncode == 0


@pytest.mark.parametrize(
    ("folder", "command", "directory"),
    [
        ("services/train", "python run.py", "services/train"),
        ("services/train/notebooks", "python run.py", "services/train"),
        ("services/evaluate", "python main.py", "services/evaluate/app"),
        ("services", "python main.py", "services/evaluate/app"),
        (".", "python main.py", "."),
    ],
)
def test_what_lies_in_and_below_the_folder_comes_first(
    tmp_path: Path, folder: str, command: str, directory: str
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    files = {"main.py": STARTS, "services/train/run.py": STARTS, "services/train/notebooks/x.ipynb": ""}
    lay_out(tmp_path, {**files, "services/evaluate/app/main.py": STARTS, "services/evaluate/requirements.txt": ""})
    if folder == "services":
        (tmp_path / "services/train/run.py").unlink()
    project = Project.of(tmp_path / folder)
    assert (project.command, project.working_directory) == (command, directory)
    assert project.root == tmp_path.resolve()


def test_a_command_is_meant_for_the_folder_where_it_is_named(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    train = "services/train"
    lay_out(tmp_path, {f"{train}/pyproject.toml": PROJECT, f"{train}/src/vision/train.py": STARTS})
    project = Project.of(tmp_path / train, "python -m vision.train --lr 0.1")
    assert (project.working_directory, project.requirements) == (train, f"{train}/pyproject.toml")
    assert project.commands == "pip install -e ./services/train"
    assert Project.of(tmp_path / train, "PYTHONPATH=src python -m vision.train").commands == ""


def test_what_git_ignores_starts_nothing(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    lay_out(tmp_path, {".gitignore": "outputs/\n", "outputs/run.py": STARTS, "ml/deep/train.py": STARTS})
    project = Project.of(tmp_path)
    assert (project.working_directory, project.others) == ("ml/deep", ())


def git(folder: Path, *arguments: str) -> None:
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_remote_is_asked_for_its_default_branch(tmp_path: Path) -> None:
    remote, here = tmp_path / "remote", lay_out(tmp_path / "here", {"run.py": STARTS})
    remote.mkdir()
    git(remote, "init", "-b", "trunk")
    git(remote, "commit", "--allow-empty", "-m", "first")
    git(here, "init", "-b", "lightning")
    git(here, "remote", "add", "origin", str(remote))
    assert Project.of(here).default_branch == DefaultBranch(
        name="trunk", why="the default branch of `origin`", is_guess=False
    )
    told = run(here, ZENML_STORE_URL="http://127.0.0.1:9").stdout
    assert "pushes to the default branch, `trunk`." in told
    assert "guess" not in told


@pytest.mark.parametrize(
    ("branches", "checked_out", "guessed"),
    [
        (("main",), "lightning", "main"),
        (("master",), "lightning", "master"),
        (("master", "main"), "lightning", "main"),
        ((), "lightning", "lightning"),
    ],
)
def test_without_a_remote_that_answers_a_branch_is_guessed(
    tmp_path: Path, branches: tuple[str, ...], checked_out: str, guessed: str
) -> None:
    lay_out(tmp_path, {"run.py": STARTS})
    git(tmp_path, "init", "-b", checked_out)
    git(tmp_path, "commit", "--allow-empty", "-m", "first")
    git(tmp_path, "remote", "add", "origin", str(tmp_path / "gone"))
    for branch in branches:
        git(tmp_path, "branch", branch)
    told = run(tmp_path, ZENML_STORE_URL="http://127.0.0.1:9").stdout
    words = " ".join(told.split())
    assert f"what seems to be the default branch, `{guessed}`" in words
    assert f"Branch `{guessed}` is a guess, as `origin` doesn't tell its default branch" in words
    assert "change `branches` under `on: push` in .github/workflows/train.yml" in words
    assert f"branches: [{guessed}]" in (tmp_path / ".github/workflows/train.yml").read_text()


def test_a_lock_is_told_with_the_way_out(tmp_path: Path) -> None:
    project = Project.of(lay_out(tmp_path, {"run.py": STARTS, "poetry.lock": ""}))
    assert project.requirements == ""
    assert "poetry export" in project.to_do


def test_what_checkout_has_to_fetch_is_fetched(tmp_path: Path) -> None:
    files = {"run.py": STARTS, ".gitmodules": "", ".gitattributes": "*.bin filter=lfs"}
    text = workflow(Project.of(lay_out(tmp_path, files)), Services(), "cpu")
    assert yaml.safe_load(text)["jobs"]["train"]["steps"][0]["with"] == {"submodules": "recursive", "lfs": True}


@pytest.mark.parametrize("name", ["it's odd", "release/1.0", "true", "1.0", "a: b", "*"])
def test_any_name_of_a_branch_or_command_is_written_as_it_is(tmp_path: Path, name: str) -> None:
    project = Project.of(lay_out(tmp_path, {"run.py": STARTS}), command=name)
    text = yaml.safe_load(workflow(project, Services(stack=name), "cpu"))
    assert text["jobs"]["train"]["steps"][-1]["with"]["run"] == name
    assert text["jobs"]["train"]["steps"][-1]["with"]["stack"] == name


def test_a_repository_without_a_pipeline_is_told_what_to_say(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"--run 'python my_script\.py'"):
        Project.of(lay_out(tmp_path, {"library.py": "import zenml"}))


def test_from_nothing_but_a_run_py_to_a_workflow(tmp_path: Path) -> None:
    lay_out(tmp_path, {"run.py": STARTS})
    for command in (["init", "-q", "-b", "trunk"], ["remote", "add", "origin", "https://github.com/octo/model.git"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    keys = {"LIGHTNING_API_KEY": "hush-hush-hush", "ZENML_STORE_URL": "http://127.0.0.1:9"}

    told = run(tmp_path, **keys).stdout

    assert "  gh secret set ZENML_STORE_API_KEY --repo octo/model\n" in told
    assert '  printf %s "$LIGHTNING_API_KEY" | gh secret set LIGHTNING_API_KEY --repo octo/model\n' in told
    assert "  gh variable set ZENML_STORE_URL --body http://127.0.0.1:9 --repo octo/model\n" in told
    assert "There is no key for the ZenML server" in told
    assert "hush" not in told
    written = yaml.safe_load((tmp_path / ".github/workflows/train.yml").read_text())
    assert written[True]["push"] == {"branches": ["trunk"]}
    checked = run(tmp_path, "--check")
    assert "Nothing to change" in checked.stdout
    assert "in the repository, run.py; names of machines, cpu." in " ".join(checked.stderr.split())
    assert "what the expressions stand for in lightning-user-id" in " ".join(checked.stderr.split())
    assert "`--force`" in " ".join(run(tmp_path, code=2).stderr.split())
    assert json.loads(run(tmp_path, "--force", "--json").stdout)["repository"] == "octo/model"


def test_without_a_workflow_there_is_nothing_to_check(tmp_path: Path) -> None:
    assert "`lightning-zenml init` writes one" in run(tmp_path, "--check", code=1).stderr


GOOD = """\
on: push
jobs:
  train:
    runs-on: ubuntu-latest
    permissions:
      contents: read
      pull-requests: write
    steps:
      - uses: actions/checkout@v5
      - uses: org/lightning-zenml-action@v1
        with:
          run: python run.py
          lightning-api-key: ${{ secrets.LIGHTNING_API_KEY }}
          zenml-store-url: ${{ vars.ZENML_STORE_URL }}
          zenml-store-api-key: ${{ secrets.ZENML_STORE_API_KEY }}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("on: push", "on: watch", 1, "error: Anybody may cause `watch`"),
        ("on: push", "on: [push, pull_request]", 1, "warning: `push` of any branch and `pull_request` train .* twice"),
        ("on: push", "on: issue_comment", 1, "warning: On `issue_comment`, actions/checkout takes"),
        ("ubuntu-latest", "windows-latest", 4, "error: The Action is a container, which needs Linux"),
        (
            "ubuntu-latest",
            "macos-latest",
            4,
            r".*Or use `org/lightning-zenml-action/composite@v1`, which runs on macOS too\.",
        ),
        ("contents: read", "actions: read", 5, "error: actions/checkout needs `contents: read`"),
        ("pull-requests: write", "issues: write", 5, "error: The comment needs `pull-requests: write`"),
        (
            "    permissions:\n      contents: read\n      pull-requests: write\n",
            "",
            3,
            "warning: Without `permissions`",
        ),
        (
            "permissions:\n      contents: read\n      pull-requests: write\n",
            "permissions: {}\n",
            5,
            "error: The comment needs `pull-requests: write`",
        ),
        (
            "run: python run.py",
            "run: x\n          pictures: branch",
            5,
            "error: `pictures: branch` needs `contents: write`",
        ),
        (
            "lightning-zenml-action@v1\n        with:\n",
            "lightning-zenml-action/composite@v1\n        with:\n          pictures: artifact\n",
            12,
            "warning: `pictures: artifact` needs the Action's container: `org/lightning-zenml-action@v1`",
        ),
        (
            "run: python run.py",
            "run: x\n          check-run: true",
            5,
            "error: `check-run: true` needs `checks: write`",
        ),
        (
            "run: python run.py",
            "run: x\n          deployment: true",
            5,
            "error: `deployment: true` needs `deployments: write`",
        ),
        ("checkout@v5", "checkout@v2", 9, "warning: actions/checkout@v2 is too old"),
        ("      - uses: actions/checkout@v5\n", "", 9, "error: Nothing is checked out"),
        ("action@v1", "action@main", 10, "warning: `@main` is a branch"),
        ("action@v1", "action@v7", 10, "warning: This program knows version 1 of the Action, not 7"),
        ("python run.py", "", 12, "error: `run` "),
        ("run: python", "runs: python", 10, "error: `run` "),
        (
            "run: python run.py",
            "run: python run.py\n          machine_typ: cpu",
            13,
            "warning: `machine_typ` is no input",
        ),
        ("run: python run.py", "run: x\n          async: perhaps", 13, "error: `async`"),
        ("run: python run.py", "run: x\n          requirements: gone.txt", 13, "error: `requirements`.*gone.txt"),
        ("run: python run.py", "run: x\n          commands: [a, b]", 13, "error: `commands` must be text"),
        ("run: python run.py", "run: x\n          timeout-minutes: ${{ inputs.minutes }}", 0, ""),
        (
            "${{ secrets.LIGHTNING_API_KEY }}",
            "sk-lit-0123456789",
            13,
            "error: `lightning-api-key` is written into the file",
        ),
        ("secrets.LIGHTNING", "vars.LIGHTNING", 13, "error: `lightning-api-key` comes from a variable"),
        ("          zenml-store-url: ${{ vars.ZENML_STORE_URL }}\n", "", 10, "error: `zenml-store-url`"),
        (
            GOOD.partition("API_KEY }}\n")[2],
            "        env:\n          ZENML_STORE_URL: https://z.example\n          ZENML_STORE_API_KEY: x\n",
            0,
            "",
        ),
        ("    runs-on", "    timeout-minutes: 9\n    runs-on", 0, ""),
        ("jobs:", "jobs: [", 4, "error: This is no YAML"),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(tmp_path: Path, old: str, new: str, line: int, told: str) -> None:
    assert old in GOOD
    root = lay_out(tmp_path, {"run.py": STARTS, ".github/workflows/train.yml": GOOD.replace(old, new, 1)})
    found = [
        f"{one.line}: {one.severity}: {one.message}"
        for one in check(root, root / ".github/workflows/train.yml").findings
    ]
    assert [one for one in found if re.search(rf"^{line}: {told}", one)] if told else found == []


@pytest.mark.parametrize(
    ("inputs", "line", "told"),
    [
        ("run: python trian.py", 12, "error: `run` names `trian.py`, .* Did you mean `train.py`?"),
        ("run: python train.py\nworking-directory: jobs", 12, "error: .*`train.py`, .* from `jobs`. It lies in `.`"),
        ("run: python nightly.py", 12, "error: .*`nightly.py`, .* It lies in `jobs`: set `working-directory`"),
        ("run: python trian.py\ncommands: ./make.sh", 12, "warning: `run` names `trian.py`"),
        ("run: bash jobs/all.sh", 12, "error: `run` names `jobs/all.sh`"),
        ("run: python -m vision.trian", 12, "error: `run` names `vision.trian`"),
        ("pipeline: vision.trian.tiny", 12, "error: `pipeline` names `vision.trian.tiny`"),
        ("pipeline: version.train.tiny", 12, "error: `pipeline` names `version.train.tiny`"),
        ("run: python train.py\nmachine-type: T4, T5", 13, "warning: .* no machine `T5`. Did you mean T4"),
        ("run: python train.py\nconfig: gone.yaml", 13, "error: `config`"),
        ("run: python train.py --lr ${{ matrix.lr }}", 12, "error: `run` uses `matrix.lr`, .* is not there"),
        ("run: python train.py\nasync: perhaps\nmachine-type: T5", 14, "warning: .* no machine `T5`"),
        ("run: python train.py && python -m torch.distributed.run jobs/nightly.py", 0, ""),
        ("run: python -m vision.train\nmachine-type: ${{ inputs.gpu }}", 0, ""),
        ("run: cd jobs && python nightly.py", 0, ""),
        ("run: python ${{ inputs.script }}.py", 0, ""),
        ("pipeline: vision.train.tiny", 0, ""),
    ],
)
def test_what_the_repository_lacks_is_told(tmp_path: Path, inputs: str, line: int, told: str) -> None:
    text = GOOD.replace("run: python run.py", inputs.replace("\n", "\n          "))
    files = {"train.py": STARTS, "vision/train.py": STARTS, "jobs/nightly.py": STARTS}
    root = lay_out(tmp_path, {**files, ".github/workflows/train.yml": text})
    findings = check(root, root / ".github/workflows/train.yml").findings
    found = [f"{one.line}: {one.severity}: {one.message}" for one in findings]
    assert [one for one in found if re.match(rf"{line}: {told}", one)] if told else found == [], found


@pytest.mark.parametrize(
    ("matrix", "told"),
    [
        ("{lr: [0.1, 1]}", ["`run` uses `matrix.seed`, but the job's `strategy.matrix` has only `lr`: "]),
        ("{lr: [1], include: [{lr: 1, seed: 2}]}", []),
        ("${{ fromJSON(needs.plan.outputs.matrix) }}", []),
    ],
)
def test_a_matrix_without_what_is_used_of_it_is_told(tmp_path: Path, matrix: str, told: list[str]) -> None:
    text = GOOD.replace("run.py", "run.py ${{ matrix.lr }} ${{ matrix.seed }}")
    text = text.replace("    runs-on", f"    strategy:\n      matrix: {matrix}\n    runs-on", 1)
    root = lay_out(tmp_path, {"run.py": STARTS, ".github/workflows/train.yml": text})
    findings = check(root, root / ".github/workflows/train.yml").findings
    assert [one.message.partition("GitHub")[0] for one in findings] == told


IN_SRC = {"pyproject.toml": PROJECT, "src/vision/train.py": STARTS}
WAY_OUT = "Python finds it only once it is installed"


@pytest.mark.parametrize(
    ("files", "inputs", "told"),
    [
        (IN_SRC, "run: python -m vision.train", "write `commands: pip install -e .`."),
        (IN_SRC, "run: torchrun --nproc-per-node 2 -m vision.train", "write `commands: pip install -e .`."),
        (IN_SRC, "pipeline: vision.train.tiny", "write `commands: pip install -e .`."),
        (IN_SRC, "run: python -m vision\ncommands: pip install six", "add the line `pip install -e .` to `commands`."),
        (IN_SRC, "run: python -m vision\nsubmit-from: runner", "add the line `-e .` to a file of them."),
        ({"src/vision/train.py": ""}, "run: python -m vision.train", "set `working-directory: src`."),
        (
            {"setup.cfg": "package_dir =\n    = lib", "setup.py": "", "lib/vision/a.py": ""},
            "run: python -m vision.a",
            "write `commands: pip install -e .`.",
        ),
        (IN_SRC, "run: python -m vision.train\ncommands: pip install -e .", ""),
        (IN_SRC, "run: python -m vision.train\ncommands: uv pip install '.[gpu]'", ""),
        (IN_SRC, "run: pip install -q . && python -m vision.train", ""),
        (IN_SRC, "run: python -m vision.train\nenv: PYTHONPATH=src", ""),
        (IN_SRC, "run: cd src && python -m vision.train", ""),
        (IN_SRC, "run: python -m vision.train\nworking-directory: src", ""),
        (IN_SRC | {"all.txt": "six\n-e .\n"}, "run: python -m vision.train\nrequirements: all.txt", ""),
        (IN_SRC, "run: python -m torch.distributed.run x.py", ""),
        (IN_SRC | {"vision/train.py": ""}, "run: python -m vision.train", ""),
    ],
)
def test_a_package_that_nobody_installs_is_warned_of(
    tmp_path: Path, files: dict[str, str], inputs: str, told: str
) -> None:
    text = GOOD.replace("run: python run.py", inputs.replace("\n", "\n          "))
    root = lay_out(tmp_path, {**files, ".github/workflows/train.yml": text})
    found = [
        one for one in check(root, root / ".github/workflows/train.yml").findings if "`vision` lies" in one.message
    ]
    assert [(one.line, one.severity) for one in found] == ([(12, "warning")] if told else [])
    assert all(WAY_OUT in one.message and one.message.endswith(told) for one in found)


def test_without_docker_macos_will_do_and_windows_will_not(tmp_path: Path) -> None:
    composite = GOOD.replace("lightning-zenml-action@v1", "lightning-zenml-action/composite@v1")
    root = lay_out(tmp_path, {".github/workflows/train.yml": composite.replace("ubuntu", "macos"), "run.py": ""})
    file = root / ".github/workflows/train.yml"
    assert check(root, file).findings == ()
    file.write_text(composite.replace("ubuntu", "windows"))
    assert [one.message for one in check(root, file).findings] == [
        "The Action needs Linux or macOS: `runs-on: ubuntu-latest` instead of `windows-latest`."
    ]


def test_all_is_told_at_once(tmp_path: Path) -> None:
    bad = (
        GOOD.replace("ubuntu", "macos")
        .replace("@v5", "@v1")
        .replace("python run.py", "x\n          keep-studio: maybe")
    )
    lay_out(tmp_path, {".github/workflows/train.yml": bad})
    told = run(tmp_path, "--check", code=1).stdout
    assert re.findall(r"^\.github/workflows/train\.yml:(\d+): (error|warning): ", told, re.MULTILINE) == [
        ("4", "error"),
        ("9", "warning"),
        ("13", "error"),
    ]
    assert len(json.loads(run(tmp_path, "--check", "--json", code=1).stdout)) == 3


@pytest.mark.parametrize("file", sorted(ROOT.glob("tests/container/workflows/*.yml")))
def test_our_own_workflows_have_nothing_wrong(file: Path) -> None:
    assert [one for one in check(ROOT, file).findings if one.severity == "error"] == []


def test_readmes_workflow_has_nothing_to_change(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(# \.github/workflows/train\.yml\n.+?)```", (ROOT / "README.md").read_text(), re.S)
    lay_out(tmp_path, {"run.py": STARTS, "requirements.txt": "", ".github/workflows/train.yml": text})
    assert check(tmp_path, tmp_path / ".github/workflows/train.yml").findings == ()
