"""What is hidden of secrets, in whatever shape and encoding, and what must stay readable."""

from __future__ import annotations

import base64
import io
import json
import uuid
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_zenml.action.github.redactor import Redactor, has_secret
from lightning_zenml.action.github.workflow import Workflow
from lightning_zenml.codes import Code

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI3NDU4YyJ9.dGhpcyBpcyBubyBzaWduYXR1cmU"
PEM = "\n".join(
    ["-----BEGIN RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA" * 4, "c2hvcnQ=", "-----END RSA PRIVATE KEY-----"]
)


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (JWT, "ZENML_STORE_API_TOKEN={}"),
        (JWT, '{{"token": "{}"}}'),
        ("ZENKEY_eyJpZCI6IjEyMyIsImtleSI6ImFiYyJ9", "key={},"),
        ("sk-lit-4c1f0c38-7a11", "LIGHTNING_API_KEY='{}'"),
        ("ghs_16C7e42F292c6912E7710c838347Ae178B4a", "token {}"),
        ("github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuv", "{}"),
        ("AKIAIOSFODNN7EXAMPLE", "id={} secret"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AWS_SECRET_ACCESS_KEY={}"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", '"aws_secret_access_key": "{}"'),
        ("hunter2!x", "postgres://ada:{}@db.example.com:5432/x"),
        ("dXNlcjpwYXNzd29yZA==", "Authorization: Basic {}"),
        (PEM.split("\n")[1], "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----\\n"),
    ],
)
def test_shapes_are_hidden_and_the_rest_is_kept(secret: str, text: str) -> None:
    before, _, after = text.format("\0").partition("\0")
    shown = Redactor()(f"a {text.format(secret)} b\n")
    assert secret not in shown
    assert shown.startswith(f"a {before}"[:8])
    assert shown.endswith(f"{after} b\n"[-3:])
    assert has_secret(text.format(secret))


@pytest.mark.parametrize(
    "text",
    [
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "Commit ec26c3e57ca3a959ca5aad62de7213c562f8c821 of main",
        "run 7458c9a1-63c1-4c80-b0a5-0d3f3f3d6b1e",
        "https://cloud.lightning.ai/acme/vision/studios/zenml-model-1a2b3c4d/code",
        "http://localhost:8080/a@b and mailto:ada@example.com, s3://bucket/key:1",
        "git@github.com:org/repo.git, epoch 3/10: loss=0.123 (task-12, risk-free, desk-1)",
        "eyJ is how a token begins; AKIA too; -----BEGIN CERTIFICATE-----",
        "authorization: none; the author's authorization basic",
        "tokens: 4096, sk-learn, sk-image, ghost_writer, hf_hub_download",
        "-----BEGIN CERTIFICATE-----\nMIIBszCCARygAwIBAgIUA\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor()(text) == text
    assert Redactor().next_lines(f"{text}\n") == f"{text}\n"


@given(st.sampled_from(["sha256:", "", "commit "]), st.binary(min_size=16, max_size=32), st.uuids())
def test_digests_and_uuids_stay(before: str, digest: bytes, one: uuid.UUID) -> None:
    text = f"{before}{digest.hex()} {one} {one.hex}"
    assert Redactor()(text) == text


@given(st.text(min_size=8, max_size=40).filter(lambda text: len(text.strip()) >= 8), st.binary(max_size=4))
def test_a_known_secret_is_hidden_in_every_encoding(secret: str, around: bytes) -> None:
    redactor = Redactor()
    redactor.add(secret)
    for form in (
        secret,
        json.dumps({"a": secret}),
        json.dumps(secret, ensure_ascii=False),
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
    ):
        assert "***" in redactor(f"<{form}>")
        assert form.strip('"') not in redactor(f"<{form}>").replace("***", "")
    encoded = base64.b64encode(around + secret.encode(errors="replace") + around).decode()
    assert "***" in redactor(encoded)
    assert len(redactor(encoded)) <= 2 * (len(around) * 2 + 4) + 3


def test_members_of_a_json_secret_and_the_password_of_a_url() -> None:
    redactor = Redactor()
    account = {
        "type": "service_account",
        "private_key": PEM,
        "client_email": "train@project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
        "nested": [{"password": "correct horse"}, {"value": "Zx81!abc"}],
    }
    redactor.add(json.dumps(account))
    redactor.add("amqp://bob:p%40ssw0rd@queue")
    shown = redactor("correct horse Zx81!abc p@ssw0rd p%40ssw0rd " + PEM.split("\n")[1])
    assert set(shown.split()) == {"***"}
    kept = "service_account https://oauth2.googleapis.com/token train@project.iam.gserviceaccount.com"
    assert redactor(kept) == kept


def test_a_private_key_is_hidden_line_by_line() -> None:
    stream = io.StringIO()
    workflow = Workflow({}, stream)
    for line in (f"[train] {line}" for line in PEM.split("\n")):
        workflow.log(f"{line}\n")
    workflow.log("[train] MIIBszCCARygAwIBAgIUA\n")
    assert stream.getvalue().splitlines() == [
        "[train] -----BEGIN RSA PRIVATE KEY-----",
        "[train] ***",
        "[train] ***",
        "[train] -----END RSA PRIVATE KEY-----",
        "[train] MIIBszCCARygAwIBAgIUA",
    ]


def test_all_that_the_runner_shows_is_redacted() -> None:
    stream = io.StringIO()
    workflow = Workflow({}, stream)
    for annotate in (workflow.error, workflow.notice):
        annotate(f"token {JWT}", Code.RUN)
    for tell in (workflow.debug, workflow.start_group, workflow.redact):
        tell(f"token {JWT}")
    workflow.warning("x", Code.RUN, title=f"token {JWT}")
    workflow.log(f"half {JWT}")
    workflow.flush()
    assert JWT not in stream.getvalue()
    assert stream.getvalue().count("***") == 6
