"""Model of several tensors for `mlflow.pyfunc`, which by itself takes one array and returns one.

A copy of this file lies with each such model, so that it loads where Twinvec is not installed. It needs MLflow, NumPy
and torch only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.pytorch
import numpy as np
import numpy.typing as npt
import torch
from mlflow.models import Model

Array = npt.NDArray[Any]


class TensorModel:
    """Function of arrays by name.

    Args:
        model: Module that takes and returns tensors.
        inputs: Names of its arguments, in order.
        outputs: Names of its results, in order.
    """

    def __init__(self, model: torch.nn.Module, inputs: list[str], outputs: list[str]) -> None:
        self.model = model
        self.inputs = inputs
        self.outputs = outputs

    def predict(self, data: Mapping[str, Array], params: object = None) -> Array | dict[str, Array]:
        """Return the result; several of them by name.

        Args:
            data: Name → array of each argument, with the shapes and types of the model's signature.
            params: Not used; `mlflow.pyfunc` passes it.
        """
        tensors = [torch.from_numpy(np.ascontiguousarray(data[name])) for name in self.inputs]
        with torch.no_grad():
            result = self.model(*tensors)
        if isinstance(result, torch.Tensor):
            return result.numpy()
        return {name: each.numpy() for name, each in zip(self.outputs, result, strict=True)}


def _load_pyfunc(path: str, model_config: object = None) -> TensorModel:
    """Load the model whose data lie in `path`; `mlflow.pyfunc.load_model` calls this."""
    folder = str(Path(path).parent)
    signature = Model.load(folder).signature
    names = [
        [each.name or "" for each in schema.inputs] if schema is not None else []
        for schema in (signature.inputs, signature.outputs)
    ]
    return TensorModel(mlflow.pytorch.load_model(folder), *names)
