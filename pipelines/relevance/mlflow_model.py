"""The models of a version as MLflow loads them: from this file and the models' own, without pickle.

`mlflow.pyfunc.load_model("models:/relevance@search_relevance_live").predict(frame)` classifies pairs of texts by their
text alone. What purchases tell is read by `twinvec relevance`, which has the neighbourhoods.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from pipelines.relevance.fitting import ALL
from pipelines.relevance.packaging import load_model, read_recipe
from pipelines.relevance.problem import predict, without_graph


class RelevanceModel(PythonModel):
    """Models of all regions.

    Attributes:
        folder: Folder of their files.
    """

    folder: Path

    def load_context(self, context: Any) -> None:
        """Find the files; a model is loaded when it is asked."""
        self.folder = Path(context.artifacts["models"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return the most probable class and the probability of each.

        Args:
            context: Of MLflow; not read.
            model_input: Columns `query`, `product` (its title) and `locale`.
            params: Of MLflow; not read.
        """
        recipe = read_recipe(self.folder)
        answer = pd.DataFrame(0.0, index=model_input.index, columns=list(recipe.names))
        for locale, rows in model_input.groupby("locale"):
            name = str(locale) if locale in recipe.regions else ALL
            model, reader = load_model(self.folder, name, recipe, torch.device("cpu"))
            texts = [pa.array(rows[column], pa.string()) for column in ("query", "product")]
            problem = without_graph(texts[0], texts[1], reader)
            found = predict(model, problem, problem.rows(), recipe.options.predict_batch, torch.device("cpu"))
            answer.loc[rows.index] = found
        answer.insert(0, "label", answer.idxmax(axis=1))
        return answer


set_model(RelevanceModel())
