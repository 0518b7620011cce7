"""Flavour of MLflow for exported models of several tensors: PyTorch's, with a `pyfunc` that takes and returns all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.pytorch
from mlflow.models import Model
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.models.utils import _save_example
from torch import nn

from twinvec.tracking import tensor_model

# Folder of a model's own code, and the module's name in it; nobody else's module is called so.
CODE, MODULE = "code", "twinvec_tensor_model"


def save_model(
    path: str, mlflow_model: Model, model: nn.Module, example: Mapping[str, Any], **options: Any
) -> None:
    """Save a model; `mlflow.models.Model.log` calls this.

    Args:
        path: Folder to write.
        mlflow_model: Description of the model, which is completed and written.
        model: Model to export.
        example: Name → array of each argument, in order.
        options: Passed to `mlflow.pytorch.save_model`.
    """
    options.pop("validate_serving_input", None)
    mlflow.pytorch.save_model(
        model, path=path, mlflow_model=mlflow_model, input_example=list(example.values()), **options
    )
    folder = Path(path)
    _save_example(mlflow_model, dict(example), path)
    (folder / CODE).mkdir()
    shutil.copyfile(tensor_model.__file__, folder / CODE / f"{MODULE}.py")
    mlflow.pyfunc.add_to_model(
        mlflow_model,
        loader_module=MODULE,
        data="data",
        code=CODE,
        conda_env="conda.yaml",
        python_env="python_env.yaml",
    )
    mlflow_model.save(str(folder / MLMODEL_FILE_NAME))
