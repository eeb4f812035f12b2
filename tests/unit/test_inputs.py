from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lightning_zenml.action.inputs import (
    DEFAULTS,
    FROM_ENVIRONMENT,
    SETTINGS_OF_INPUTS,
    Inputs,
    InputsError,
    SubmitFrom,
)
from lightning_zenml.launch.spec import KeepStudio
from lightning_zenml.settings import Settings

REQUIRED = {
    "INPUT_RUN": "python run.py",
    "INPUT_LIGHTNING-API-KEY": "lightning-key",
    "INPUT_ZENML-STORE-URL": "https://zenml.example/",
    "INPUT_ZENML-STORE-API-KEY": "zenml-key",
}

EMPTY = ". A secret that the repository does not have is empty: see its settings, Secrets and variables > Actions"


def inputs(**given: str) -> Inputs:
    """Inputs of the action; `machine_type` stands for `machine-type`."""
    variables = {f"INPUT_{name.upper().replace('_', '-')}": value for name, value in given.items()}
    return Inputs.from_environ({**REQUIRED, **variables})


def problems(**given: str) -> list[tuple[str, str]]:
    with pytest.raises(InputsError) as caught:
        inputs(**given)
    return caught.value.problems


def test_defaults() -> None:
    assert inputs() == Inputs(
        run="python run.py",
        pipeline=None,
        config=None,
        submit_from=SubmitFrom.STUDIO,
        working_directory=".",
        studio_name=None,
        studio_pool=None,
        machine_type=(),
        commands=(),
        requirements=(),
        env={},
        is_async=False,
        attach=None,
        settings={},
        stack=None,
        project=None,
        timeout_minutes=None,
        max_cost=None,
        budget=(),
        keep_studio=KeepStudio.AUTO,
        keep_warm=None,
        stop_idle_gpu=None,
        stop_on_cancel=True,
        comment=True,
        comment_key=None,
        matrix={},
        github_token=None,
        lightning_user_id=None,
        lightning_api_key="lightning-key",
        lightning_username=None,
        lightning_teamspace=None,
        lightning_org=None,
        zenml_store_url="https://zenml.example",
        zenml_store_api_key="zenml-key",
        warnings=(),
    )


def test_empty_is_unset() -> None:
    assert inputs(**dict.fromkeys(DEFAULTS.keys() - {"run", *FROM_ENVIRONMENT}, " \n")) == inputs()


def test_all_given() -> None:
    found = inputs(
        working_directory="./training//gpu/",
        studio_name="ci",
        studio_pool="4",
        machine_type="A100, T4,,",
        requirements="a.txt\nb/c.txt, d.txt",
        env="A=1\n# no\n\n B =x=y \nEMPTY=",
        timeout_minutes="2.5",
        keep_studio="stop",
        keep_warm="7.5",
        stop_idle_gpu="20",
        stop_on_cancel="False",
        comment="off",
        comment_key="gpu",
        settings="max_parallel_steps: 2\nenvironment: {A: 'x'}",
        github_token="t",
        lightning_user_id="u",
        **{"async": "TRUE"},
    )
    assert found.working_directory == "training/gpu"
    assert (found.studio_name, found.studio_pool) == ("ci", 4)
    assert found.machine_type == ("A100", "T4")
    assert found.requirements == ("a.txt", "b/c.txt", "d.txt")
    assert found.env == {"A": "1", "B": "x=y", "EMPTY": ""}
    assert found.timeout_minutes == 2.5
    assert (found.keep_studio, found.keep_warm, found.stop_idle_gpu) == (KeepStudio.STOP, 7.5, 20)
    assert (found.is_async, found.stop_on_cancel, found.comment) == (True, False, False)
    assert found.comment_key == "gpu"
    assert found.settings == {"max_parallel_steps": 2, "environment": {"A": "x"}}


def test_dashes_win_over_underscores_over_variables() -> None:
    environ = {**REQUIRED, "LIGHTNING_TEAMSPACE": "variable"}
    assert Inputs.from_environ(environ).lightning_teamspace == "variable"
    environ["INPUT_LIGHTNING_TEAMSPACE"] = "underscore"
    assert Inputs.from_environ(environ).lightning_teamspace == "underscore"
    environ["INPUT_LIGHTNING-TEAMSPACE"] = "dash"
    assert Inputs.from_environ(environ).lightning_teamspace == "dash"


@pytest.mark.parametrize("name", sorted(FROM_ENVIRONMENT))
def test_credentials_from_the_environment(name: str) -> None:
    environ = {key: value for key, value in REQUIRED.items() if key != f"INPUT_{name.upper()}"}
    found = Inputs.from_environ({**environ, FROM_ENVIRONMENT[name]: "https://elsewhere"})
    assert getattr(found, name.replace("-", "_")) == "https://elsewhere"


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(InputsError) as caught:
        Inputs.from_environ(
            {
                "INPUT_ASYNC": "yes",
                "INPUT_KEEP-STUDIO": "burn",
                "INPUT_TIMEOUT-MINUTES": "soon",
                "INPUT_WORKING-DIRECTORY": "../up",
                "INPUT_REQUIREMENTS": "/etc/passwd ok.txt ../x",
            }
        )
    assert caught.value.problems == [
        (
            "run",
            (
                "is required: the shell command that runs the pipeline, e.g. `python run.py`; "
                "or give `pipeline` or `attach`"
            ),
        ),
        ("working-directory", "`../up` is not allowed: must be a path inside the repository, relative to its root"),
        ("requirements", "`/etc/passwd` is not allowed: must be a path inside the repository, relative to its root"),
        ("requirements", "`../x` is not allowed: must be a path inside the repository, relative to its root"),
        ("async", "`yes` is not allowed: must be `true` or `false`"),
        ("timeout-minutes", "`soon` is not allowed: must be a number above 0"),
        ("keep-studio", "`burn` is not allowed: must be one of `auto`, `keep`, `stop`, `delete`"),
        (
            "lightning-api-key",
            f"is required: your API key, from Lightning AI's settings (or set LIGHTNING_API_KEY){EMPTY}",
        ),
        ("zenml-store-url", "is required: the address of your ZenML server (or set ZENML_STORE_URL)"),
        (
            "zenml-store-api-key",
            f"is required: the key of a ZenML service account (or set ZENML_STORE_API_KEY){EMPTY}",
        ),
    ]
    assert str(caught.value).startswith("run: is required")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e999"])
def test_timeout_must_be_a_positive_number(value: str) -> None:
    assert [name for name, _ in problems(timeout_minutes=value)] == ["timeout-minutes"]


@pytest.mark.parametrize("value", ["0", "33", "-1", "2.5", "four", "1e1", "²"])
def test_a_pool_has_so_many_studios(value: str) -> None:
    ((name, message),) = problems(studio_name="ci", studio_pool=value)
    assert name == "studio-pool"
    assert "a whole number from 1 to 32" in message


def test_a_pool_shares_a_name_and_stays() -> None:
    assert [(name, "which name" in message) for name, message in problems(studio_pool="2")] == [("studio-pool", True)]
    ((name, message),) = problems(studio_pool="2", studio_name="ci", keep_studio="delete")
    assert name == "studio-pool"
    assert "none of them can be deleted" in message


@pytest.mark.parametrize("value", ["0", "121", "-1", "nan", "soon"])
def test_a_machine_is_kept_for_two_hours_at_most(value: str) -> None:
    ((name, message),) = problems(studio_name="ci", keep_warm=value)
    assert name == "keep-warm"
    assert "a number above 0, at most 120" in message


def test_what_is_kept_warm_is_stopped_afterwards() -> None:
    for fate in ("keep", "delete"):
        ((name, message),) = problems(studio_name="ci", keep_warm="5", keep_studio=fate)
        assert (name, f"`{fate}`" in message) == ("keep-warm", True)
    ((name, message),) = inputs(keep_warm="5").warnings
    assert (name, "a fresh studio is deleted" in message) == ("keep-warm", True)


@pytest.mark.parametrize("value", ["zenml.example", "ftp://zenml.example", "https://", "http://[x"])
def test_url_must_be_one(value: str) -> None:
    assert [name for name, _ in problems(zenml_store_url=value)] == ["zenml-store-url"]


def test_workspace_written_out_is_relative_all_the_same() -> None:
    environ = {**REQUIRED, "GITHUB_WORKSPACE": "/github/workspace"}
    inside = Inputs.from_environ({**environ, "INPUT_WORKING-DIRECTORY": "/github/workspace/a"})
    assert inside.working_directory == "a"
    with pytest.raises(InputsError):
        Inputs.from_environ({**environ, "INPUT_WORKING-DIRECTORY": "/github/workspaces"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("pip install x\n\n# why\n  make data  ", ("pip install x", "make data")),
        ("a \\\n  b\nc", ("a \\\n  b", "c")),
        ("- a\n- |\n  for x in 1; do\n    y\n  done", ("a", "for x in 1; do\n  y\ndone")),
        ('["a", "b: c"]', ("a", "b: c")),
        ("[ -f x ] && y", ("[ -f x ] && y",)),
        ("[ -f x ]", ("[ -f x ]",)),
        ("[[ -f x ]]", ("[[ -f x ]]",)),
        ("echo 'a: b'", ("echo 'a: b'",)),
    ],
)
def test_commands(value: str, expected: tuple[str, ...]) -> None:
    assert inputs(commands=value).commands == expected


@pytest.mark.parametrize("value", ["- a: b", "- 1", '["a"', "- a\n- ", "- [a"])
def test_commands_as_a_broken_list(value: str) -> None:
    assert [name for name, _ in problems(commands=value)] == ["commands"]


TAKEN_AS_THEY_ARE = {"run", "commands", "machine-type", "requirements", "working-directory", "matrix"}


def test_env_problems_tell_lines_and_never_show_them() -> None:
    found = problems(env="1A=secret\nB\nA=x\nA=y\n=z\ntopsecret and more")
    assert [name for name, _ in found] == ["env"] * 2
    shown = " ".join(message for _, message in found)
    assert not re.search("secret|1A|`A`|`B`", shown)
    assert "lines 1, 2, 5, 6 are not `NAME=value`" in shown
    assert "gives the variable of line 3 again in line 4" in shown


@pytest.mark.parametrize("name", sorted(DEFAULTS.keys() - TAKEN_AS_THEY_ARE))
def test_no_piece_of_a_key_is_shown_wherever_it_was_put(name: str) -> None:
    pem = "\n".join(["-----BEGIN PRIVATE KEY-----", *(f"{n}MIIEvQIBADANBgkqhkiG9w0BAQEFAASC{n}==" for n in range(26))])
    value = f"KEY={pem}\nKEY={pem}" if name == "env" else pem
    found = problems(**{name: value})
    assert name in [input_name for input_name, _ in found]
    shown = str(found)
    for line in pem.splitlines()[1:]:
        assert not [line[at : at + 8] for at in range(len(line) - 7) if line[at : at + 8] in shown]


@pytest.mark.parametrize("value", ["kéy", "a b", "two\nlines", "“quoted”"])
@pytest.mark.parametrize("name", ["github-token", "lightning-api-key", "zenml-store-api-key"])
def test_keys_that_no_header_can_carry_are_refused(name: str, value: str) -> None:
    ((refused, message),) = problems(**{name: value})
    assert refused == name
    assert "ASCII" in message
    assert value not in message


@pytest.mark.parametrize(
    "value", ["just text", "- a", "1: x", "a: 2020-01-01", "a: .nan", "a: [", "&a {b: *a}", "a: 2020-99-99"]
)
def test_settings_must_be_a_plain_mapping(value: str) -> None:
    assert [name for name, _ in problems(settings=value)] == ["settings"]


def test_unknown_inputs_are_warned_of() -> None:
    assert inputs(studio_nam="x", entrypoint="/x", args="y", qqq="1").warnings == (
        ("qqq", "is no input of this action and is ignored."),
        ("studio-nam", "is no input of this action and is ignored; did you mean `studio-name`?"),
    )


def test_secrets_are_masked_and_not_shown() -> None:
    found = inputs(
        lightning_user_id="user",
        github_token="github-secret",
        env="WANDB_API_KEY=wandb-secret\nTOKENIZER=bert-base\nMAX_NEW_TOKENS=128000\nSORT_KEY=created\n"
        "COSMOS_PRIMARY_KEY=primary-key\nHOOK=https://hooks.example/T0/9xKq2mZt7LwPb4RvYc8N\nX=plain-value-1",
        settings="environment: {MY_TOKEN: settings-secret}",
    )
    login = base64.b64encode(b"user:lightning-key").decode()
    assert found.secrets == (
        "lightning-key",
        login,
        "zenml-key",
        "github-secret",
        "wandb-secret",
        "primary-key",
        "https://hooks.example/T0/9xKq2mZt7LwPb4RvYc8N",
        "settings-secret",
    )
    for secret in found.secrets:
        assert secret not in repr(found)


def test_paths_must_lead_into_the_workspace(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "training").mkdir(parents=True)
    (workspace / "config.yaml").touch()
    (workspace / "out").symlink_to(tmp_path)
    (workspace / "circle").symlink_to(workspace / "circle")
    given = {
        **REQUIRED,
        "INPUT_RUN": "",
        "INPUT_PIPELINE": "training.train",
        "INPUT_CONFIG": "config.yaml",
        "INPUT_WORKING-DIRECTORY": "training",
    }
    assert Inputs.from_environ(given, workspace).command == "zenml pipeline run training.train -c ../config.yaml"
    with pytest.raises(InputsError) as caught:
        Inputs.from_environ(
            {
                **given,
                "INPUT_CONFIG": "training",
                "INPUT_WORKING-DIRECTORY": "out",
                "INPUT_REQUIREMENTS": "no.txt circle " + "x" * 300,
            },
            workspace,
        )
    assert [name for name, _ in caught.value.problems] == [
        "config",
        "working-directory",
        "requirements",
        "requirements",
        "requirements",
    ]
    assert caught.value.problems[2][1] == (
        "`no.txt` is not allowed: there is no such file in the repository (is it checked out?)"
    )
    attached = {**given, "INPUT_PIPELINE": "", "INPUT_CONFIG": "", "INPUT_ATTACH": "zenml-model-89abcdef"}
    assert Inputs.from_environ({**attached, "INPUT_REQUIREMENTS": "no.txt"}, workspace).attach


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            "requirements.txt",
            "(paths are relative to the repository's root: `services/train/requirements.txt`?)",
        ),
        (
            "../common.txt",
            "relative to its root (paths are relative to the repository's root: `services/common.txt`?)",
        ),
        ("gone.txt", "`gone.txt` is not allowed: there is no such file in the repository (is it checked out?)"),
        ("../../../gone.txt", "must be a path inside the repository, relative to its root"),
    ],
)
def test_a_path_that_is_written_as_seen_from_the_working_directory_is_told_as_it_should_be(
    tmp_path: Path, path: str, told: str
) -> None:
    (tmp_path / "services/train").mkdir(parents=True)
    (tmp_path / "services/train/requirements.txt").touch()
    (tmp_path / "services/common.txt").touch()
    given = {**REQUIRED, "INPUT_WORKING-DIRECTORY": "services/train", "INPUT_REQUIREMENTS": path}
    with pytest.raises(InputsError) as caught:
        Inputs.from_environ(given, tmp_path)
    ((name, message),) = caught.value.problems
    assert name == "requirements"
    assert message.endswith(told)


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({}, ["run"]),
        ({"run": "x", "pipeline": "a.b"}, ["pipeline"]),
        ({"run": "x", "attach": "zenml-model-89abcdef"}, ["attach"]),
        ({"run": "x", "pipeline": "a.b", "attach": "zenml-model-89abcdef"}, ["pipeline", "attach"]),
        ({"run": "x", "config": "a.yaml"}, ["config"]),
        ({"pipeline": "a.b", "config": "../a.yaml"}, ["config"]),
        ({"pipeline": "pipeline"}, ["pipeline"]),
        ({"pipeline": "a.b; rm -rf /"}, ["pipeline"]),
        ({"run": "x", "submit_from": "laptop"}, ["submit-from"]),
        ({"run": "x", "studio_name": "a\nb", "stack": "a\rb"}, ["studio-name", "stack"]),
        ({"run": "x", "studio_name": "a/b", "comment_key": "k" * 201}, ["studio-name", "comment-key"]),
        ({"run": "x\0"}, ["run", "run"]),
        ({"run": "\udc80"}, ["run", "run"]),
    ],
)
def test_exactly_one_thing_to_run(given: dict[str, str], refused: list[str]) -> None:
    assert [name for name, _ in problems(**{"run": "", **given})] == refused


def test_a_pipeline_without_a_config() -> None:
    assert inputs(run="", pipeline="train.pipeline").command == "zenml pipeline run train.pipeline"


def test_settings_are_checked_against_the_orchestrators() -> None:
    found = problems(settings="max_paralel_steps: 2\nnum_machines: 0\nsynchronous: yes\nteamspace: vision")
    assert found == [
        ("settings", "`synchronous` is not allowed: use the input `async`"),
        ("settings", "`teamspace` is not allowed: use the input `lightning-teamspace`"),
        (
            "settings",
            (
                "can't be used: The Lightning orchestrator has no setting `max_paralel_steps`; "
                "did you mean `max_parallel_steps`?"
            ),
        ),
        ("settings", "can't be used: The setting `num_machines: 0` is not allowed: it should be greater than 0."),
    ]
    assert SETTINGS_OF_INPUTS.keys() <= Settings.model_fields.keys()
    assert set(SETTINGS_OF_INPUTS.values()) <= DEFAULTS.keys()


def test_booleans_in_settings_are_those_of_yaml_1_2() -> None:
    found = inputs(settings="environment: {A: on, B: 'true', C: no}\ninterruptible: true\nreuse_snapshot: False")
    assert found.settings["environment"] == {"A": "on", "B": "true", "C": "no"}
    assert (found.settings["interruptible"], found.settings["reuse_snapshot"]) == (True, False)


names = st.sampled_from(sorted(DEFAULTS)).map(lambda name: f"INPUT_{name.upper()}")
words = st.sampled_from(
    ["true", "FALSE", "yes", "auto", "delete", "runner", "python run.py", "train.pipeline", "a.txt", ".", "12", "-1"]
) | st.sampled_from(
    ["zenml-m-89abcdef", "machine_type: [L4]", "timeout: 3", "- a\n- b", "A=1\nB=2", "https://z", "{a: b"]
)
texts = words | st.text(max_size=30) | st.text(alphabet="-[]{}'\":,#&*!|> \n=\\abc01./~", max_size=20)
EXAMPLES = 2_000


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(names, texts, max_size=12), st.sampled_from(["", "/github/workspace", "relative"]))
@example({"INPUT_SETTINGS": "a: 2020-99-99"}, "")
@example({"INPUT_SETTINGS": "!!python/object:os.system x"}, "")
@example({"INPUT_SETTINGS": "? [a]\n: b"}, "")
@example({"INPUT_SETTINGS": "a: " + "[" * 1500}, "")
@example({"INPUT_ZENML-STORE-URL": "http://[::1"}, "")
@example({"INPUT_ENV": "\u3000"}, "")
def test_nothing_crashes_but_with_an_inputs_error(given: dict[str, str], workspace: str) -> None:
    environ: dict[str, Any] = {**REQUIRED, **given, "GITHUB_WORKSPACE": workspace}
    found, refused = None, ()
    try:
        found = Inputs.from_environ(environ, Path(__file__).parent)
    except InputsError as error:
        refused = tuple(name for name, _ in error.problems)
    assert set(refused) <= DEFAULTS.keys()
    assert (found is None) == bool(refused)
    if found:
        assert not found.working_directory.startswith(("/", ".."))
        assert all(found.secrets)
        assert sum(map(bool, (found.run, found.pipeline, found.attach))) == 1
        Settings.model_validate(found.settings)


def test_a_launch_to_attach_to_needs_no_run() -> None:
    environ = {name: value for name, value in REQUIRED.items() if name != "INPUT_RUN"}
    inputs = Inputs.from_environ(
        {**environ, "INPUT_ATTACH": "zenml-model-01234567-89abcdef", "INPUT_MACHINE-TYPE": "L4"}
    )
    assert (inputs.run, inputs.attach) == ("", "zenml-model-01234567-89abcdef")
    assert inputs.warnings == (("machine-type", "has no effect with `attach`: the launch is as it was started."),)


def test_what_to_attach_to_must_be_a_launch_id() -> None:
    # As a studio's name has what it likes.
    assert Inputs.from_environ({**REQUIRED, "INPUT_RUN": "", "INPUT_ATTACH": "Our studio (2)-89abcdef"}).attach
    with pytest.raises(InputsError, match="output `launch-id`"):
        Inputs.from_environ({**REQUIRED, "INPUT_ATTACH": "; rm -rf /"})


def test_a_cost_limit_goes_with_any_run_and_is_the_launchs_own_where_that_was_started_before() -> None:
    assert inputs(**{"async": "true"}, max_cost="3").max_cost == 3
    attached = inputs(run="", attach="zenml-model-01234567-89abcdef", max_cost="3", budget="1 / month")
    assert [name for name, _ in attached.warnings] == ["max-cost", "budget"]


@pytest.mark.parametrize("budget", ["200", "1 / year", "1 / month, 2 / month"])
def test_what_is_no_budget_is_refused_with_one_that_is(budget: str) -> None:
    (problem,) = problems(budget=budget)
    assert problem[0] == "budget"
    assert "e.g. `200 / month`" in problem[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("export A=1", {"A": "1"}),
        ("A='a # b'\nB=\"x\\ny\"", {"A": "a # b", "B": "x\ny"}),
        (
            'KEY="-----BEGIN KEY-----\r\nab==\r\n-----END KEY-----"\r\nB=1',
            {"KEY": "-----BEGIN KEY-----\nab==\n-----END KEY-----", "B": "1"},
        ),
        ("A=a\u2028b\fc\x85d", {"A": "a\u2028b\fc\x85d"}),
        ('A={"a": "b"}', {"A": '{"a": "b"}'}),
        ("A=$B ${C}", {"A": "$B ${C}"}),
        ("A=#x", {"A": "#x"}),
    ],
)
def test_env_is_read_as_a_dotenv_file(text: str, expected: dict[str, str]) -> None:
    assert inputs(env=text).env == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A=1\n\n# c\nB=x #y", "line 4 is ambiguous"),
        ("K=-----BEGIN KEY-----\nab==\n-----END KEY-----\nB", "line 1 is the begin of a value with several lines"),
        ("A=1\nB='x' y", "line 2 is not `NAME=value`"),
        ("A='x\nB=1", "line 1 is not `NAME=value`"),
        ("PATH=/opt/x:$PATH", "put `export PATH=/opt/x:$PATH` into `commands`"),
        ("HOME=/x", "sets `HOME`, which is not allowed"),
        ("LD_LIBRARY_PATH=/x", "sets `LD_LIBRARY_PATH`"),
        ("PYTHONHOME=/x", "sets `PYTHONHOME`"),
        ("ZENML_STORE_URL=https://other", "than the input `zenml-store-url`"),
        ("LIGHTNING_API_KEY=other", "than the input `lightning-api-key`"),
    ],
)
def test_variables_that_can_not_be_meant_are_refused(text: str, told: str) -> None:
    ((name, message),) = [problem for problem in problems(env=text) if told in problem[1]]
    assert name == "env"
    assert "other" not in message


def test_variables_of_the_settings_are_checked_too() -> None:
    ((name, message),) = problems(settings="environment: {HOME: /x}")
    assert (name, "sets `HOME`" in message) == ("settings", True)


def test_variables_that_agree_with_the_inputs_are_fine() -> None:
    url = REQUIRED["INPUT_ZENML-STORE-URL"]
    assert inputs(env=f"ZENML_STORE_URL={url}\nPATH=/opt/x:/usr/bin:/bin").env["ZENML_STORE_URL"] == url


def test_line_ends_of_windows_are_those_of_everybody() -> None:
    found = inputs(
        run="if true; then\r\n  python run.py\r\nfi",
        commands="pip install \\\r\n  x\r\necho a\\\\\r\necho b",
        settings="max_parallel_steps: 2\r\nenvironment:\r\n  A: x\r\n",
    )
    assert found.run == "if true; then\n  python run.py\nfi"
    assert found.commands == ("pip install \\\n  x", "echo a\\\\", "echo b")
    assert found.settings == {"max_parallel_steps": 2, "environment": {"A": "x"}}
    assert inputs(commands="- |\r\n  if true; then\r\n    x\r\n  fi\r\n- y").commands == ("if true; then\n  x\nfi", "y")
