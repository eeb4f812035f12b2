from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_zenml.action.report.failure import Place, of_output, of_steps, raised
from lightning_zenml.codes import Code
from lightning_zenml.launch.payload.folder import REFUSAL
from lightning_zenml.launch.spec import Failure, Phase
from lightning_zenml.zenml_api.models import Step

CODE = "/teamspace/studios/this_studio/.lightning_zenml/launches/zenml-x-1-2/code"
TRACEBACK = f"""Traceback (most recent call last):
  File "/home/zeus/lib/python3.12/site-packages/zenml/steps/runner.py", line 300, in run
    step()
  File "{CODE}/steps/train.py", line 12, in train
    helper()
  File "/home/zeus/lib/python3.12/site-packages/torch/nn.py", line 5, in forward
    raise ValueError
ValueError: the loss is NaN
"""


def repository(root: Path) -> Path:
    (root / "steps").mkdir()
    (root / "steps/train.py").touch()
    return root


def test_the_first_failed_step_speaks_and_points_at_its_line(tmp_path: Path) -> None:
    steps = [Step(name="load", status="completed"), Step(name="train", status="failed", traceback=TRACEBACK)]
    (found,) = of_steps(steps, repository(tmp_path))
    assert found.failure.message == "Step `train` failed: ValueError: the loss is NaN"
    assert found.place == Place(file="steps/train.py", line=12)
    assert 'File "steps/train.py", line 12' in found.failure.output
    assert CODE not in found.failure.output


def test_every_failed_step_is_told_of(tmp_path: Path) -> None:
    steps = [Step(name=name, status="failed", traceback=TRACEBACK) for name in ("cnn", "tree")]
    messages = [found.failure.message for found in of_steps(steps, repository(tmp_path))]
    assert [message.partition(" failed")[0] for message in messages] == ["Step `cnn`", "Step `tree`"]


def test_of_several_runs_the_failed_one_is_named(tmp_path: Path) -> None:
    (found,) = of_steps([Step(name="cnn", status="failed", traceback=TRACEBACK)], tmp_path, "beta-2")
    assert found.failure.message == "Step `cnn` of `beta-2` failed: ValueError: the loss is NaN"


def test_a_traceback_without_our_code_points_nowhere(tmp_path: Path) -> None:
    (found,) = of_steps([Step(name="train", status="failed", traceback=TRACEBACK)], tmp_path)
    assert found.place is None


def test_no_failed_step_says_nothing(tmp_path: Path) -> None:
    steps = [Step(name="load", status="completed"), Step(name="train", status="failed")]
    assert of_steps(steps, tmp_path) == []


def test_a_failed_command_points_at_the_line_that_its_traceback_names(tmp_path: Path) -> None:
    root = repository(tmp_path)
    failure = Failure(phase=Phase.RUNNING, message="The run failed with exit code 1: x", output=f"before\n{TRACEBACK}")
    found = of_output(failure, root)
    assert found.place == Place(file="steps/train.py", line=12)
    assert found.failure.message == "The run failed with exit code 1: x: ValueError: the loss is NaN"
    on_the_runner = TRACEBACK.replace(CODE, str(root))
    assert of_output(Failure(phase=Phase.RUNNING, message="m", output=on_the_runner), root).place == found.place


def test_a_traceback_that_may_have_been_handled_is_not_why_a_command_failed(tmp_path: Path) -> None:
    handled = TRACEBACK.replace(CODE, "/elsewhere") + "handled\n"
    for output in ("", "ValueError: x", handled, TRACEBACK.rpartition("ValueError")[0]):
        failure = Failure(phase=Phase.COMMANDS, message="m", output=output)
        found = of_output(failure, tmp_path)
        assert (found.failure.message, found.place) == ("m", None)
    found = of_output(Failure(phase=Phase.COMMANDS, message="m", output=handled, exit_code=1), tmp_path)
    assert (found.failure.message, found.place) == ("m. It printed last: handled", None)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.INSTALLING])
def test_what_is_told_whole_stays_as_it_is(tmp_path: Path, phase: Phase) -> None:
    failure = Failure(phase=phase, message="m", output="Resolved 3 packages\n", exit_code=1)
    assert of_output(failure, tmp_path).failure.message == "m"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (("pyproject.toml", "src/vision/train.py"), "(src/vision) that nothing has installed: add `pip install -e .`"),
        (
            ("ml/setup.py", "ml/src/vision/a.py"),
            "(ml/src/vision) that nothing has installed: add `pip install -e ./ml`",
        ),
        (("setup.py", "vision/__init__.py"), "(vision) that nothing has installed: add `pip install -e .`"),
        (("src/vision/train.py",), ""),
        (("pyproject.toml", "vision/scripts.py"), ""),
    ],
)
def test_a_package_of_the_repository_that_is_not_installed_is_told_with_the_way_out(
    tmp_path: Path, files: tuple[str, ...], told: str
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('[project]\nname = "x"\n' if name.endswith(".toml") else "")
    missing = TRACEBACK.replace("ValueError: the loss is NaN", "ModuleNotFoundError: No module named 'vision'")
    of_python = (
        "/usr/bin/python: Error while finding module specification for 'vision.train' "
        "(ModuleNotFoundError: No module named 'vision')\n"
    )
    (of_step,) = of_steps([Step(name="train", status="failed", traceback=missing)], tmp_path)
    failure = Failure(phase=Phase.RUNNING, message="m", output=of_python, exit_code=1)
    for found in (of_step, of_output(failure, tmp_path), of_output(replace(failure, output=missing), tmp_path)):
        assert "No module named 'vision'" in found.failure.message
        assert (
            (f"{told} to `commands`." in found.failure.message)
            if told
            else found.failure.message.endswith(("'vision'", "'vision')"))
        )


def test_a_library_that_is_not_installed_is_told_with_the_way_out(tmp_path: Path) -> None:
    missing = TRACEBACK.replace("ValueError: the loss is NaN", "ModuleNotFoundError: No module named 'sklearn'")
    (of_step,) = of_steps([Step(name="train", status="failed", traceback=missing)], tmp_path)
    failure = Failure(phase=Phase.RUNNING, message="m", output=missing, exit_code=1)
    for found in (of_step, of_output(failure, tmp_path)):
        told = "'sklearn'. List the package that brings `sklearn` in a file that `requirements` names."
        assert found.failure.message.endswith(told)


SYNTAX = """  File "steps/train.py", line 3
    x = = 3
        ^
SyntaxError: invalid syntax
"""
OF_RICH = """╭───────────────────── Traceback (most recent call last) ──────────────────────╮
│ /elsewhere/typer/main.py:330 in __call__                                     │
│ steps/train.py:12 in train                                                   │
│                                                                              │
│ ❱ 12 raise ValueError("the loss is NaN")                                     │
╰──────────────────────────────────────────────────────────────────────────────╯
ValueError: the loss is NaN
"""
OF_TORCHRUN = TRACEBACK.replace("ValueError: the loss is NaN", "ChildFailedError: \n====\ntrain.py FAILED\n----")


@pytest.mark.parametrize(
    ("output", "told", "line"),
    [
        (SYNTAX, "SyntaxError: invalid syntax", 3),
        (OF_RICH, "ValueError: the loss is NaN", 12),
        (OF_RICH.replace("─", "-").replace("│", "|").replace("╭", "+"), "ValueError: the loss is NaN", 12),
        (OF_TORCHRUN, "ChildFailedError: train.py FAILED", 12),
        (TRACEBACK.replace("ValueError:", "\x1b[1;35mValueError\x1b[0m:"), "ValueError: the loss is NaN", 12),
        (TRACEBACK.replace("ValueError:", "run.<locals>.Diverged:"), "run.<locals>.Diverged: the loss is NaN", 12),
    ],
    ids=["not Python", "rich", "rich in ASCII", "torchrun", "colours", "local class"],
)
def test_a_traceback_of_any_kind_is_read(tmp_path: Path, output: str, told: str, line: int) -> None:
    found = of_output(Failure(phase=Phase.RUNNING, message="m", output=output, exit_code=1), repository(tmp_path))
    assert (found.failure.message, found.place) == (f"m: {told}", Place(file="steps/train.py", line=line))


def test_what_the_orchestrator_tells_of_a_step_is_in_words(tmp_path: Path) -> None:
    told = "lightning_zenml.launch.errors.LaunchError: The step's process ended with exit code 137.\n"
    (found,) = of_steps([Step(name="train", status="failed", traceback=told)], tmp_path)
    assert found.failure.message == "Step `train` failed: The step's process ended with exit code 137."
    assert found.failure.code == Code.STEP
    (found,) = of_steps([Step(name="train", status="failed", traceback=told.replace("Launch", "Machine"))], tmp_path)
    assert found.failure.code == Code.MACHINE


@pytest.mark.parametrize("name", ["x" * 300, "y/" * 3000, "a\nb", "nul\0"])
def test_what_can_be_no_file_is_none_of_ours(tmp_path: Path, name: str) -> None:
    traceback = TRACEBACK.replace("ValueError: the", f'  File "{name}", line 7, in x\nValueError: the')
    (found,) = of_steps([Step(name="train", status="failed", traceback=traceback)], repository(tmp_path))
    assert found.place == Place(file="steps/train.py", line=12)


def with_note() -> Exception:
    error = RuntimeError("CUDA error: device-side assert\nCompile with `TORCH_USE_CUDA_DSA` to enable assertions.")
    error.add_note("On the machine T4.")
    return error


def in_a_worker() -> Exception:
    inner = "".join(traceback.format_exception(ValueError("q"))).replace("Traceback", "Original Traceback")
    return RuntimeError(
        f"Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n{inner}"
    )


class Diverged(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (with_note(), "RuntimeError: CUDA error: device-side assert"),
        (in_a_worker(), "RuntimeError: Caught ValueError in DataLoader worker process 0."),
        (
            ExceptionGroup("several", [ValueError("a\nb"), ExceptionGroup("inner", [TypeError("c")])]),
            "ExceptionGroup: several (2 sub-exceptions), the first: ValueError: a",
        ),
        (
            ValueError("1 validation error for M\na\n  Field required\n    For further information visit https://x"),
            "ValueError: 1 validation error for M",
        ),
        (ValueError("\nreal"), "ValueError: real"),
        (AssertionError(), "AssertionError"),
        (Diverged("now"), f"{Diverged.__module__}.Diverged: now"),
        (ValueError("x" * 5_000), "ValueError: " + "x" * 988),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_exception_is_named_with_its_first_line(error: BaseException, told: str) -> None:
    try:
        raise error
    except BaseException as raised_error:
        text = traceback.format_exc()
        raised_error.__traceback__ = None
    assert raised(f"Epoch 1: loss 3\n{text}\nDone: cleaned up\n") == told
    (found,) = of_steps([Step(name="train", status="failed", traceback=text)], Path())
    assert found.failure.message == f"Step `train` failed: {told}"


def test_of_exceptions_that_led_to_one_another_the_last_is_named() -> None:
    try:
        try:
            raise KeyError("k")
        except KeyError as error:
            raise ValueError("v") from error
    except ValueError:
        assert raised(traceback.format_exc()) == "ValueError: v"


@pytest.mark.parametrize("blank", [" \n \n", "\n", "Traceback (most recent call last):\n"])
def test_a_traceback_that_tells_nothing_is_no_fault_of_ours(blank: str) -> None:
    (found,) = of_steps([Step(name="train", status="failed", traceback=blank)], Path())
    assert found.failure.message.startswith("Step `train` failed")


def test_a_command_that_the_orchestrator_refuses_says_why(tmp_path: Path) -> None:
    output = f"installing\n{REFUSAL}ZenML 0.99.0 lacks it. [LZ-4006]\nbye\n"
    found = of_output(
        Failure(phase=Phase.RUNNING, message="`python run.py` failed (exit code 1)", output=output), tmp_path
    )

    assert found.failure.message == "`python run.py` failed (exit code 1): ZenML 0.99.0 lacks it."
    assert found.failure.code == Code.ZENML_VERSION
    assert found.place is None


def test_of_a_traceback_whose_beginning_is_cut_off_the_exception_is_told(tmp_path: Path) -> None:
    cut = "rows)\n" + TRACEBACK.partition("\n")[2].partition("\n")[2].replace(CODE, "/elsewhere")
    found = of_output(Failure(phase=Phase.RUNNING, message="m", output=cut + "x" * 3), tmp_path)
    assert (found.failure.message, found.place) == ("m: ValueError: the loss is NaN", None)


def test_a_traceback_at_the_end_is_why_whosever_code_it_names(tmp_path: Path) -> None:
    found = of_output(Failure(phase=Phase.RUNNING, message="m", output=TRACEBACK.replace(CODE, "/zenml")), tmp_path)
    assert (found.failure.message, found.place) == ("m: ValueError: the loss is NaN", None)


IGNORED = """Exception ignored in: <function File.__del__ at 0x7f>
Traceback (most recent call last):
  File "/usr/lib/files.py", line 3, in __del__
    self.close()
    ^^^^^^^^^^^^
RuntimeError: not written
"""


@pytest.mark.parametrize("output", [TRACEBACK + IGNORED, IGNORED + TRACEBACK, TRACEBACK + IGNORED * 2 + "\n"])
def test_an_exception_that_nothing_ends_with_is_not_why(tmp_path: Path, output: str) -> None:
    found = of_output(Failure(phase=Phase.RUNNING, message="m", output=output, exit_code=1), repository(tmp_path))
    assert found.failure.message == "m: ValueError: the loss is NaN"
    assert found.place == Place(file="steps/train.py", line=12)
    assert "not written" in found.failure.output


def test_what_python_ignores_is_no_last_word_either(tmp_path: Path) -> None:
    output = f"no data there\n{IGNORED}"
    found = of_output(Failure(phase=Phase.RUNNING, message="m", output=output, exit_code=1), tmp_path)
    assert found.failure.message == "m. It printed last: no data there"


@pytest.mark.parametrize(
    ("exit_code", "output", "told"),
    [
        (
            2,
            f"python: can't open file '{CODE}/run.py': [Errno 2] No such file or directory\n",
            ": python: can't open file",
        ),
        (2, "usage: run.py [-h]\nrun.py: error: unrecognized arguments: --fast\n\n", ": run.py: error: unrecognized"),
        (127, "bash: line 1: pyton: command not found\n", ": bash: line 1: pyton: command not found"),
        (1, "no data there\n===\n\n", ". It printed last: no data there"),
        (137, "1%\r 50%\r\n", ". It printed last: 50%"),
        (127, "", ""),
    ],
)
def test_a_command_that_is_called_wrongly_has_the_last_word(
    tmp_path: Path, exit_code: int, output: str, told: str
) -> None:
    failure = Failure(phase=Phase.RUNNING, message=f"m {CODE}/x", output=output, exit_code=exit_code)
    message = of_output(failure, tmp_path).failure.message
    assert message.startswith(f"m x{told}")
    assert bool(message.removeprefix("m x")) is bool(told)
    assert CODE not in message
