"""Log a model to MLflow without pickle: a torch module as an exported program, trees as text."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.pytorch
import numpy as np
import pandas as pd
import torch
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.types import Schema, TensorSpec
from torch import Tensor, nn

from twinvec.tracking import tensor_flavour
from twinvec.tracking.models import register_model

if TYPE_CHECKING:
    from lightgbm import Booster


def log_exported(
    space: str, model: nn.Module, inputs: Mapping[str, Tensor], files: Sequence[Path] = ()
) -> str:
    """Log `model` to the active run and register it under the name `space`; see `Run.log_model`."""
    if any(not len(example) > 1 for example in inputs.values()):
        raise ValueError("an example needs at least 2 rows, else the exported model takes 1 row only")
    exported = copy.deepcopy(model).cpu().eval()
    examples = {name: example.detach().cpu() for name, example in inputs.items()}
    with torch.no_grad():
        outputs = exported(*examples.values())
    arrays = {name: example.numpy() for name, example in examples.items()}
    named = _named(outputs)
    options: dict[str, Any] = {
        "name": "model",
        "signature": ModelSignature(_schema(examples), _schema(named)),
        "serialization_format": "pt2",
        "extra_files": [str(file) for file in files],
        # Given, since finding them out loads the model in another process, which takes 15 seconds.
        "pip_requirements": [f"torch=={torch.__version__.split('+')[0]}", f"numpy=={np.__version__}"],
    }
    if len(arrays) == len(named) == 1:
        info = mlflow.pytorch.log_model(exported, input_example=next(iter(arrays.values())), **options)
    else:
        # Not tried as a server would: it takes a second.
        info = Model.log(
            artifact_path=None,
            flavor=tensor_flavour,
            model=exported,
            example=arrays,
            validate_serving_input=False,
            **options,
        )
    return register_model(space, info.model_id, info.run_id)


def log_booster(space: str, booster: Booster) -> str:
    """Log trees to the active run and register them under the name `space`; see `Run.log_trees`."""
    import lightgbm
    import mlflow.lightgbm

    names = booster.feature_name()
    example = pd.DataFrame(np.zeros((1, len(names)), np.float32), columns=names)
    info = mlflow.lightgbm.log_model(
        booster,
        name="model",
        signature=infer_signature(example, booster.predict(example)),
        input_example=example,
        pip_requirements=[f"lightgbm=={lightgbm.__version__}", f"numpy=={np.__version__}"],
    )
    return register_model(space, info.model_id, info.run_id)


def _named(outputs: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
    tensors = [outputs] if isinstance(outputs, Tensor) else outputs
    return {f"output_{place}" if len(tensors) > 1 else "output": value for place, value in enumerate(tensors)}


def _schema(tensors: Mapping[str, Tensor]) -> Schema:
    return Schema(
        [
            TensorSpec(
                value.detach().numpy().dtype, (-1, *value.shape[1:]), name=name if len(tensors) > 1 else None
            )
            for name, value in tensors.items()
        ]
    )
