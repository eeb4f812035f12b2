"""What the payload installs, how long it may take, and when it is left out."""

from __future__ import annotations

from payload_studio import Studio, is_running, wait_for

BUILD_THAT_HANGS = "sleep 300 & echo $! > ../build; wait"


def test_the_timeout_covers_installing(studio: Studio) -> None:
    studio.replace_uv(BUILD_THAT_HANGS)
    studio.start(packages=["a-package"], timeout=2)
    failure = studio.finish()["failure"]
    assert failure["phase"] == "installing"
    assert "timeout" in failure["message"]
    build = int((studio.launch / "build").read_text())
    wait_for(lambda: not is_running(build))


def test_a_stop_ends_an_install_with_its_builds(studio: Studio) -> None:
    studio.replace_uv(BUILD_THAT_HANGS)
    studio.start(packages=["a-package"])
    build = wait_for(lambda: (studio.launch / "build").exists() and (studio.launch / "build").read_text())
    assert studio.call("stop")["stopping"]
    assert studio.finish()["stopped"]
    wait_for(lambda: not is_running(int(build)))
