"""What the Action imports before it has asked anybody anything: each module is waited for at every start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def told_by(program: str) -> object:
    """What a program prints in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_neither_zenml_nor_what_only_some_runs_need_is_imported() -> None:
    loaded = told_by("import json, sys, lightning_zenml.action.__main__; print(json.dumps(list(sys.modules)))")
    assert isinstance(loaded, list)
    assert not {"zenml", "git", "croniter"} & set(loaded)
    generated = [name for name in loaded if name.startswith("lightning_sdk.lightning_cloud.openapi.models.")]
    assert len(generated) < 300


def test_what_a_usual_store_needs_is_known_without_zenml() -> None:
    program = """
import json, sys
from lightning_zenml.zenml_api.integrations import of_integrations
print(json.dumps([of_integrations(["s3", "lightning"]), "zenml" in sys.modules]))
"""
    told = told_by(program)
    assert isinstance(told, list)
    wanted, has_zenml = told
    assert "boto3" in wanted
    assert not has_zenml


def test_each_of_the_sdks_classes_is_there_when_it_is_asked_for() -> None:
    program = """
import json
from lightning_zenml.launch import lightning
from lightning_sdk.lightning_cloud import openapi
from lightning_sdk.lightning_cloud.openapi import api, models
from lightning_sdk.lightning_cloud.openapi.models import V1CloudSpace
from lightning_sdk.lightning_cloud.openapi.models.v1_cloud_space import V1CloudSpace as itself

same = V1CloudSpace is itself is models.V1CloudSpace is openapi.V1CloudSpace
listed = {package.__name__.rpartition(".")[2]: len(package.__all__) for package in (openapi, api, models)}
missing = [name for package in (openapi, api, models) for name in package.__all__ if not getattr(package, name)]
unknown = hasattr(models, "V0Nothing")
from lightning_sdk.lightning_cloud.openapi.models import *
print(json.dumps([same, listed, missing, unknown, "V1Job" in globals()]))
"""
    told = told_by(program)
    assert isinstance(told, list)
    same, listed, missing, unknown, starred = told
    assert (same, missing, unknown, starred) == (True, [], False, True)
    assert listed["openapi"] > listed["models"] > 1000
    assert listed["api"] > 20


@pytest.mark.parametrize("more", ["", "ALIAS = V1Job\n", "from .models.v1_job import V1Job as ALIAS\n"])
def test_another_sdk_is_imported_whatever_its_packages_hold(tmp_path: Path, more: str) -> None:
    generated = tmp_path / "lightning_sdk/lightning_cloud/openapi"
    (generated / "models").mkdir(parents=True)
    (generated / "models/v1_job.py").write_text("print('imported')\nclass V1Job: pass\n")
    line = "from lightning_sdk.lightning_cloud.openapi.models.v1_job import V1Job\n"
    for folder in (generated.parents[1], generated.parents[0], generated, generated / "models"):
        (folder / "__init__.py").write_text("")
    (generated / "__init__.py").write_text(f"from __future__ import absolute_import\n{line}{more}")
    program = """
import sys
import lightning_zenml.launch.lightning
from lightning_sdk.lightning_cloud import openapi
print(getattr(openapi, "ALIAS", openapi.V1Job) is openapi.V1Job)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["imported", "True"]
