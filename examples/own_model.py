"""Train related products by a model of one's own.

    python examples/own_model.py [HOME]

A model is a package with two modules and two entry points. The example writes this package, `mean_model`, to a
temporary folder and puts it on the path, in place of `pip install`; copy the texts below into a package of your own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import twinvec
from twinvec.catalogue.synthetic import generate

# The encoder, and the plan of its training: `softmax_plan` ranks each product's targets among all products.
MODEL = '''
from torch import nn

from mean_model.settings import MeanSettings
from pipelines.related.data import COPURCHASE, relations as all_relations
from pipelines.related.plan import Model, softmax_plan
from twinvec.nn.layers.mean import MeanLayer
from twinvec.nn.models import ContentEncoder


class MeanModel(ContentEncoder):
    """Means over the products bought with a product."""

    def __init__(self, content, dimension, layers):
        super().__init__(content, dimension)
        self.layers = nn.ModuleList(MeanLayer(dimension, dimension, [COPURCHASE]) for _ in range(layers))


def relations(graph):
    return {COPURCHASE: all_relations(graph, reverse=False)[COPURCHASE]}


def plan(graph, content, options, seed):
    settings = options.group("mean", MeanSettings)
    model = MeanModel(content.shape[1], options.uncalibrated, options.layers)
    return softmax_plan(model, graph, content, relations(graph), settings, options.calibrate)


MODEL = Model(plan, relations)
'''
# Its settings, `[related.mean]` in twinvec.toml. This module imports no torch, so that settings load quickly.
SETTINGS = """
from twinvec.settings.related_models import SoftmaxSettings


class MeanSettings(SoftmaxSettings):
    epochs: int = 2
    temperature: float = 1.0
"""
# In pyproject.toml: [project.entry-points."twinvec.models"] and [project.entry-points."twinvec.model_settings"].
ENTRY_POINTS = """
[twinvec.models]
mean = mean_model.model:MODEL

[twinvec.model_settings]
mean = mean_model.settings:MeanSettings
"""


def install(site: Path) -> None:
    """Write the package and its metadata to a folder, and put the folder on the path."""
    package, metadata = site / "mean_model", site / "mean_model-1.0.dist-info"
    package.mkdir(parents=True)
    metadata.mkdir()
    (package / "__init__.py").write_text("")
    (package / "model.py").write_text(MODEL)
    (package / "settings.py").write_text(SETTINGS)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mean-model\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    sys.path.insert(0, str(site))


def main(folder: Path | None = None) -> None:
    """Register the model, train it on a synthetic store, and print its figures.

    Args:
        folder: Folder of the home; the configured one if not given, `.twinvec` by default.
    """
    with tempfile.TemporaryDirectory() as scratch:
        install(Path(scratch) / "site")
        generate(Path(scratch) / "catalogue", 300, seed=3, images=False)
        # The model aggregates content: the text encoder is needed, and taken as it is.
        home = twinvec.open(
            folder,
            device="cpu",
            category={"epochs": 20},
            text={"scheme": "pretrained"},
            aligned={"dimension": 16, "epochs": 1},
            related={"recipe": "mean", "dimension": 16, "mean": {"epochs": 2}},
        )
        with home:
            home.ingest(Path(scratch) / "catalogue")
            (step,) = (step for step in home.train("related") if step.space == "related")
            version = step.version
            assert version is not None
            print(f"{version.name}: {version.rows} products, vectors of {version.dimension} numbers")
            for name, value in sorted(version.metrics.items())[:5]:
                print(f"  {name}: {value}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
