"""Requirements whose addresses hold passwords: real installers, and servers that ask for the passwords."""

from __future__ import annotations

import base64
import functools
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lightning_zenml.launch.payload.requirements import git_keys
from lightning_zenml.launch.payload.requirements.given import given
from payload_studio import Studio, write_wheel

LOGINS = (b"ada:s3cret", b"t0ken:")
PROJECT = """
[project]
name = "cloned"
version = "1"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """
import zipfile

def build_wheel(folder, *_):
    with zipfile.ZipFile(f"{folder}/cloned-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("cloned.py", "")
        wheel.writestr("cloned-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: cloned\\nVersion: 1\\n")
        wheel.writestr("cloned-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("cloned-1.dist-info/RECORD", "")
    return "cloned-1-py3-none-any.whl"
"""


class Private(SimpleHTTPRequestHandler):
    """Answers whoever has a login."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") in {f"Basic {base64.b64encode(login).decode()}" for login in LOGINS}:
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="private"')
            self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of an index with `indexed`, of `direct-1-py3-none-any.whl`, and of a repository `cloned.git`."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("indexed", "direct"):
        write_wheel(folder, name)
    (folder / "simple/indexed").mkdir(parents=True)
    (folder / "simple/indexed/index.html").write_text(
        '<a href="/indexed-1-py3-none-any.whl">indexed-1-py3-none-any.whl</a>'
    )
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-C", str(folder / "cloned")]
    (folder / "cloned").mkdir()
    (folder / "cloned/pyproject.toml").write_text(PROJECT)
    (folder / "cloned/backend.py").write_text(BACKEND)
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=It"]):
        subprocess.run([*git, *command], check=True)
    subprocess.run(["git", "clone", "--quiet", "--bare", folder / "cloned", folder / "cloned.git"], check=True)
    subprocess.run(["git", "-C", folder / "cloned.git", "update-server-info"], check=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Private, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("in_a_file", [False, True])
def test_no_password_is_in_a_command_line_a_log_or_a_file(studio: Studio, served: str, in_a_file: bool) -> None:
    noted = studio.note_programs()
    studio.environment["UV_OFFLINE"] = "0"
    repository = studio.scratch / "repository"
    (repository / "more").mkdir(parents=True)
    (repository / "base.txt").write_text(f"--index-url http://{served}/nothing\n-r more/git.txt\n")
    cloned = f"cloned @ git+http://${{KEY_OF_GIT}}@{served}/cloned.git"
    in_file = f"# Ours.\n{cloned}\n" if in_a_file else ""
    (repository / "more/git.txt").write_text(in_file)
    studio.start(
        requirements=[
            "-r base.txt",
            f"--index-url http://ada:s3cret@{served}/simple",
            "indexed==1",
            f"direct @ http://ada:s3cret@{served}/direct-1-py3-none-any.whl",
            *([] if in_a_file else [cloned]),
        ],
        commands=["cat more/git.txt"],
        environment={"KEY_OF_GIT": "t0ken"},
    )
    status = studio.finish()
    assert status["exit_code"] == 0, studio.log
    assert "cloned==1" in studio.log
    # A command finds it as it is in the repository.
    assert in_file in studio.log
    assert f"fetch --force --update-head-ok http://{served}/cloned.git" in noted.read_text()
    for told in (noted.read_text(), studio.log, str(status)):
        assert "s3cret" not in told
        assert "t0ken" not in told
    environment = studio.python.parents[1]
    for path in (*environment.rglob("*.json"), *studio.home.rglob("*")):
        if path.is_file():
            assert b"s3cret" not in path.read_bytes(), path
            assert b"t0ken" not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("requirement", "told"),
    [
        # Which uv can't read, and pip neither.
        ("direct @ http://ada:s3cret@{}/direct-1.whl but why", "(from line 1 of the list of requirements)"),
        ("cloned @ git+http://ada:s3cret@{}/none.git", "none.git"),
    ],
)
def test_what_fails_is_told_without_the_password(studio: Studio, served: str, requirement: str, told: str) -> None:
    studio.note_programs()
    studio.environment["UV_OFFLINE"] = "0"
    studio.start(requirements=[requirement.format(served)])
    status = studio.finish()
    assert told in status["failure"]["message"]
    assert "s3cret" not in studio.log
    assert "s3cret" not in str(status)


@pytest.mark.parametrize(
    ("specifiers", "arguments", "lines"),
    [
        (["six==1.0", "-r base.txt", "--pre"], ["-r", "base.txt", "--pre"], "six==1.0\n"),
        (["-r a file.txt", "--no-binary ':all:'"], ["-r", "a file.txt", "--no-binary", ":all:"], ""),
        (
            ["--index=https://i/", "--default-index https://d/"],
            [],
            "--extra-index-url=https://i/\n--index-url https://d/\n",
        ),
        (["-r https://a:b@host/base.txt"], [], "-r https://a:b@host/base.txt\n"),
        (["--find-links ${WHEELS}"], [], "--find-links ${WHEELS}\n"),
        (["-e ./pkg"], ["-e", "./pkg"], ""),
    ],
)
def test_what_stands_in_a_command_line(specifiers: list[str], arguments: list[str], lines: str) -> None:
    asked = given(specifiers, {})
    assert list(asked.arguments) == arguments
    assert asked.lines == lines
    assert asked.variables == {}


def test_the_index_of_a_list_is_no_contradiction_of_one_in_a_file() -> None:
    specifiers = ["--index-url https://${USER}:b@i/", "-i 'https://j/'", "--default-index=https://ada:b@i/", "six"]
    asked = given(specifiers, {"USER": "ada"}, index="UV_DEFAULT_INDEX")
    assert (asked.arguments, asked.lines) == ((), "--extra-index-url https://j/\nsix\n")
    assert asked.variables == {"UV_DEFAULT_INDEX": "https://ada:b@i/"}


def test_git_has_keys_by_its_configuration() -> None:
    asked = given(
        [
            "-e git+https://ada:p%40ss@one.example/a.git@v1#egg=a",
            "b @ git+https://ada:p%40ss@one.example/b.git",
            "c @ git+https://${KEY}@two.example/c.git ; python_version > '3'",
            "d @ git+https://other@two.example/d.git",
            "e @ git+ssh://git@two.example/e.git",
        ],
        {"KEY": "t0ken", "GIT_CONFIG_COUNT": "1"},
    )
    assert asked.lines.splitlines() == [
        "-e git+https://one.example/a.git@v1#egg=a",
        "b @ git+https://one.example/b.git",
        "c @ git+https://two.example/c.git ; python_version > '3'",
        "d @ git+https://two.example/d.git",
        "e @ git+ssh://git@two.example/e.git",
    ]
    names = ("https://one.example/", "https://two.example/c.git", "https://two.example/d.git")
    logins = ("ada:p@ss", "t0ken:", "other:")
    expected = {"GIT_CONFIG_COUNT": "4"}
    for number, (name, login) in enumerate(zip(names, logins, strict=True), 1):
        expected[f"GIT_CONFIG_KEY_{number}"] = f"http.{name}.extraHeader"
        key = base64.b64encode(login.encode()).decode()
        expected[f"GIT_CONFIG_VALUE_{number}"] = f"Authorization: Basic {key}"
    assert asked.variables == expected


def test_files_have_no_keys_while_they_are_read(tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("a.txt", "b.txt", "c.txt"))
    first.write_bytes(b"six\r\na @ git+https://${KEY}@one.example/a.git # \xc3\xbc\r\n")
    second.write_text("b @ git+https://ada:p%40ss@two.example/b.git\nc @ git+https://git@three.example/c.git\n")
    other.write_bytes(b"\xff\xfe")
    before = [file.read_bytes() for file in (first, second, other)]
    with git_keys.hidden([first, second, other, tmp_path / "none.txt"], {"KEY": "t0ken"}) as variables:
        assert first.read_bytes() == b"six\r\na @ git+https://one.example/a.git # \xc3\xbc\r\n"
        assert second.read_text() == ("b @ git+https://two.example/b.git\nc @ git+https://git@three.example/c.git\n")
        assert variables["GIT_CONFIG_COUNT"] == "2"
        assert variables["GIT_CONFIG_KEY_1"] == "http.https://two.example/.extraHeader"
    assert [file.read_bytes() for file in (first, second, other)] == before
