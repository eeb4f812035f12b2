"""Commands in comments: what counts as one, what it may set, and that no value means anything to a shell."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_zenml.action.commands.command import Command, CommandError, Verb, command_in, holds_command
from lightning_zenml.action.commands.comment import asks_for_command, reason_to_ignore
from lightning_zenml.action.commands.parameters import Kind, Parameter, read, settled
from lightning_zenml.action.github.event import Event

LR, EPOCHS, DEBUG, MODEL, SIZE = (
    Parameter(name="lr", kind=Kind.NUMBER),
    Parameter(name="epochs", kind=Kind.INTEGER),
    Parameter(name="debug", kind=Kind.BOOLEAN),
    Parameter(name="model", kind=Kind.WORD),
    Parameter(name="size", choices=("S", "XL")),
)


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ("/train", Command(verb=Verb.TRAIN)),
        ("/train machine=H100 lr=0.1", Command(verb=Verb.TRAIN, given=(("machine", "H100"), ("lr", "0.1")))),
        ("\r\n  /train\tlr=1 \r\nplease", Command(verb=Verb.TRAIN, given=(("lr", "1"),))),
        ("Looks good.\n\n/train lr=a=b\n\nThanks!", Command(verb=Verb.TRAIN, given=(("lr", "a=b"),))),
        ("```sh\n/stop\n```\n/train", Command(verb=Verb.TRAIN)),
        ("/stop", Command(verb=Verb.STOP)),
        ("/stop zenml-model-89abcdef", Command(verb=Verb.STOP, launch_id="zenml-model-89abcdef")),
        ("/attach", Command(verb=Verb.ATTACH)),
    ],
)
def test_a_command_is_the_beginning_of_a_paragraph(body: str, command: Command) -> None:
    assert holds_command(body)
    assert command_in(body) == command


@pytest.mark.parametrize(
    "body",
    [
        "",
        "Use /train to train.",
        "/training",
        "/Train",
        "/train-all",
        " / train",
        "Try:\n/train",
        "```\n/train\n```",
        "```\n\n/train lr=1\n",
        "~~~~\n```\n\n/train\n~~~\n/train\n~~~~",
        "    /train",
        "\t/train",
        "`/train`",
        "`code\n/train`",
        "> /train",
        "> quoted\n/train",
        "- /train",
        "- ```\n  x\n  ```\n\n```\n/train\n```",
        "1. a\n\n   /train",
        "<!-- \n\n/train\n\n-->",
        "<pre>\n\n/train\n\n</pre>",
        "<details>\n/train\n</details>",
        "# /train",
        "/train\n---",
        "[/train](x)",
        "\\/train",
    ],
)
def test_what_is_code_quoted_listed_or_in_a_sentence_is_none(body: str) -> None:
    assert not holds_command(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("/train\n\n/stop", "several"),
        ("/train lr", "`lr` is no parameter"),
        ("/train lr = 1", "`lr` is no parameter"),
        ("/train LR=1", "`LR=1` is no parameter"),
        ("/train --lr=1", "`--lr=1` is no parameter"),
        ("/train lr=1 lr=2", "given twice"),
        ("/train " + "A" * 500 + "`x`", "A…` is no parameter"),
        ("/train " + " ".join(f"a{number}=1" for number in range(21)), "20 parameters at most"),
        ("/stop all", "the id of one launch"),
        ("/stop a-89abcdef b-89abcdef", "the id of one launch"),
        ("/attach ../x-89abcdef", "the id of one launch"),
    ],
)
def test_a_command_that_cant_be_read_says_why(body: str, words: str) -> None:
    assert holds_command(body)
    with pytest.raises(CommandError, match=re.escape(words)):
        command_in(body)


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        (LR, ["0.1", "1", "-1", "1e-3", ".5", "1.", "2.5E+10"], ["", "nan", "inf", "0x1", "1_0", "1e", "٣", "1;ls"]),
        (EPOCHS, ["0", "-3", "12"], ["", "1.5", "1e3", "+1", "9" * 19, "1\n"]),
        (DEBUG, ["true", "false"], ["", "yes", "True", "1"]),
        (MODEL, ["resnet-50", "v1.2", "a_b", "A"], ["", "-x", "../x", "a b", "a/b", "$HOME", "`ls`", "a" * 65, "é"]),
        (SIZE, ["S", "XL"], ["", "M", "S;ls"]),
    ],
)
def test_a_value_is_of_its_kind_or_refused(parameter: Parameter, good: list[str], bad: list[str]) -> None:
    assert [parameter.checked(value) for value in good] == good
    for value in bad:
        with pytest.raises(CommandError, match=f"`{parameter.name}` can't be"):
            parameter.checked(value)


@given(st.sampled_from([LR, EPOCHS, DEBUG, MODEL, SIZE]), st.text(max_size=12))
def test_no_value_means_anything_to_a_shell(parameter: Parameter, text: str) -> None:
    try:
        value = parameter.checked(text)
    except CommandError:
        return
    assert shlex.quote(value) == value
    assert value.isascii()
    assert not value.startswith("--")


def test_without_an_allow_list_only_a_machine_of_the_workflow_may_be_chosen() -> None:
    assert settled((("machine", "h100"),), (), ("T4", "H100")) == ("H100", {})
    assert settled((), (), ()) == (None, {})
    for name, machines in (("lr", ("T4",)), ("machine", ())):
        with pytest.raises(CommandError, match=r"can't be set from a comment.*`command-parameters`"):
            settled(((name, "1"),), (), machines)
    with pytest.raises(CommandError, match="`machine` can't be `H200`: it must be one of `T4`"):
        settled((("machine", "H200"),), (), ("T4",))


def test_parameters_become_variables_that_replace_no_others() -> None:
    allowed, problems = read({"lr": "number", "path": "word", "size": ["S", "XL", 3, True], "machine": ["H100"]})
    assert problems == []
    given = (("lr", "0.1"), ("path", "x"), ("size", "xl"), ("machine", "H100"))
    variables = {"COMMAND_LR": "0.1", "COMMAND_PATH": "x", "COMMAND_SIZE": "XL"}
    assert settled(given, allowed, ("T4",)) == ("H100", variables)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"LR": "number"}, "has the name `LR`"),
        ({"lr": "float"}, "says nothing of use for `lr`"),
        ({"lr": None}, "says nothing of use for `lr`"),
        ({"lr": []}, "says nothing of use for `lr`"),
        ({"lr": ["$(id)"]}, "says nothing of use for `lr`"),
        ({"lr": [{"a": 1}]}, "says nothing of use for `lr`"),
        ({"machine": "number"}, "makes `machine` a number"),
    ],
)
def test_an_allow_list_that_cant_be_used_says_why(given: dict[str, Any], words: str) -> None:
    parameters, (problem,) = read(given)
    assert parameters == ()
    assert words in problem


def payload(**changes: Any) -> dict[str, Any]:
    comment = {"id": 7, "body": "/train", "created_at": "2026-11-29T12:00:00Z", "user": {"login": "a", "type": "User"}}
    issue = {"number": 5, "pull_request": {"url": "u"}}
    return {"action": "created", "issue": issue, "comment": {**comment, **changes.pop("comment", {})}, **changes}


def ignored(payload: Any, folder: Path, name: str = "issue_comment", **more: str) -> str | None:
    (folder / "event.json").write_text(json.dumps(payload))
    environ = {"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(folder / "event.json"), **more}
    environ = {"INPUT_COMMAND-FROM": "comment", **environ}
    event = Event.from_environ(environ)
    assert asks_for_command(event, environ)
    return reason_to_ignore(event, environ)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (payload(action="edited"), "A comment that is edited"),
        (payload(action="deleted"), "A comment that is deleted"),
        (payload(comment={"user": {"login": "x[bot]", "type": "Bot"}}), "A bot"),
        (payload(comment={"user": {"login": "x[bot]", "type": "User"}}), "A bot"),
        (payload(comment={"user": None}), "A bot"),
        (payload(issue={"number": 5}), "on an issue"),
        (payload(comment={"body": None}), "holds no command"),
        (payload(comment={"body": "```\n/train\n```"}), "holds no command"),
        (payload(comment={"created_at": "yesterday"}), "tells too little"),
        (payload(comment={"id": "7"}), "tells too little"),
        ({}, "not new"),
    ],
)
def test_most_comments_ask_for_nothing(tmp_path: Path, event: dict[str, Any], words: str) -> None:
    assert words in str(ignored(event, tmp_path))


def test_a_writers_words_elsewhere_are_no_commands_and_a_push_is_as_ever(tmp_path: Path) -> None:
    assert ignored(payload(), tmp_path) is None
    assert "only `issue_comment`" in str(ignored({}, tmp_path, "pull_request_review_comment"))
    for name in ("push", "workflow_dispatch", "pull_request"):
        event = Event.from_environ({"GITHUB_EVENT_NAME": name})
        assert not asks_for_command(event, {"INPUT_COMMAND-FROM": "comment"})


@given(st.text(alphabet=st.sampled_from("/train stop=`~-<>!\n\r\t \\0#$;&|"), max_size=40))
def test_whatever_is_written_is_a_command_a_refusal_or_nothing(body: str) -> None:
    if holds_command(body):
        with suppress(CommandError):
            assert command_in(body).verb in Verb


def test_bash_agrees_that_values_are_plain() -> None:
    values = [LR.checked("-1e-3"), MODEL.checked("a.b_c-d+e")]
    told = subprocess.run(["bash", "-c", f"echo {' '.join(values)}"], capture_output=True, text=True, check=True)
    assert told.stdout.split() == values
