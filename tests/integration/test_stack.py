from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import boto3

from localcloud.stack import Stack, client_environment
from localcloud.zenml import zenml_server


def test_bucket_exists(zenml_stack: Stack) -> None:
    s3 = zenml_stack.s3
    client = boto3.client(
        "s3",
        endpoint_url=s3.url,
        aws_access_key_id=s3.key,
        aws_secret_access_key=s3.secret,
        region_name="us-east-1",
    )
    client.put_object(Bucket=s3.bucket, Key="test/key", Body=b"value")

    assert client.get_object(Bucket=s3.bucket, Key="test/key")["Body"].read() == b"value"


def test_client_environment_is_clean(zenml_stack: Stack) -> None:
    environment = client_environment(zenml_stack, EXTRA="1")

    assert environment["ZENML_STORE_URL"] == zenml_stack.zenml_url
    assert environment["EXTRA"] == "1"
    assert not {"LIGHTNING_API_KEY", "LIGHTNING_USER_ID", "GITHUB_TOKEN"} & set(environment)


def test_registered_word_for_word(zenml_stack: Stack, tmp_path: Path) -> None:
    """The documented command, with ZenML's own command line and a server that knows only the stock flavor."""
    environment = client_environment(zenml_stack, ZENML_CONFIG_PATH=str(tmp_path))
    command = [
        *(str(Path(sys.executable).with_name("zenml")), "orchestrator", "register", "by_hand"),
        *("--flavor=lightning", "--user_id=me", "--api_key=secret"),
        *("--username=ada", "--teamspace=vision", "--organization=acme"),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr

    components = zenml_stack.zenml.request("GET", "components?name=by_hand&hydrate=true")["items"]
    assert components[0]["metadata"]["configuration"] == {
        "user_id": "me",
        "api_key": "secret",
        "username": "ada",
        "teamspace": "vision",
        "organization": "acme",
    }


def test_server_starts_from_the_kept_database(zenml_stack: Stack, tmp_path: Path) -> None:
    with zenml_server(tmp_path) as server:
        assert server.request("GET", "info")["version"]
        assert server.url != zenml_stack.zenml_url
        assert server.request("GET", "stacks?name=lightning")["total"] == 0
    assert not (tmp_path / "template").exists()
