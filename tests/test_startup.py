"""A process of the command leaves out imports that it does not use, and Feast and MLflow work without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path
from pipelines.command.app import open_workspace

workspace = open_workspace(home=sys.argv[1])
import feast, mlflow.pytorch
assert not {"pytorch_lightning", "lightning", "torchmetrics"} & set(sys.modules)
entity = feast.Entity(name="product", join_keys=["product_id"])
workspace.features.apply([entity])
assert [each.name for each in workspace.features.list_entities()] == ["product"]
"""


@pytest.mark.slow
def test_the_command_imports_no_lightning_and_feast_works(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "home")], check=True)
