"""Training of the space `relevance`: a model for each region, from one that was trained on all (SALAM)."""

from __future__ import annotations

import itertools
import shutil
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow.pyfunc
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import safetensors
import torch
import transformers
from mlflow.models import infer_signature

from pipelines.encoding.disk_matrix import disk_matrix
from pipelines.relevance import packaging
from pipelines.relevance.fitting import ALL, Epoch, Fitter
from pipelines.relevance.graph_files import NeighbourhoodFiles, open_neighbourhoods
from pipelines.relevance.judged import Judged, Split, read_judged
from pipelines.relevance.problem import Problem, build_model, encode_nodes, predict, read_problem
from pipelines.relevance.scratch import scratch_folder
from pipelines.relevance.space import NEIGHBOURHOODS, NODES, SPACE
from twinvec import digest
from twinvec.metrics.classification import classification_metrics
from twinvec.nn.device import resolve_device
from twinvec.nn.models.salam import Salam
from twinvec.progress import Progress
from twinvec.settings import RelevanceSettings
from twinvec.stage import Inputs, Outcome
from twinvec.tracking import register_model

if TYPE_CHECKING:
    from twinvec.tracking import Run

MODELS, TESTED = "models", "tested.parquet"
# Nodes whose neighbourhoods are encoded at once.
NODES_AT_ONCE = 1024
Floats = npt.NDArray[np.float32]


@dataclass
class Trained:
    """Models in a folder, and what they answer for the test queries.

    Attributes:
        folder: Folder that the files of the models and the vectors of the nodes are written to.
        digests: Region → digest of its model.
        one_phase: Probabilities of the test pairs by the model of all regions, float32 [test, classes].
        two_phases: Probabilities of the same pairs, each by the model of its region.
    """

    folder: Path
    one_phase: Floats
    two_phases: Floats
    digests: dict[str, str] = field(default_factory=dict)


def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
    """Train on all regions, then on each; test each model on the test queries of its region."""
    settings, options = inputs.settings, inputs.settings.relevance
    device = resolve_device(settings.device)
    judged = read_judged(inputs.snapshot, options, settings.seed)
    files = read_files(inputs) if options.graph != "none" else None
    length = files.features.shape[1] if files is not None else None
    model, reader = build_model(options, len(judged.names), length, settings.seed)
    problem = read_problem(judged.pairs, files, reader)
    progress(
        f"{len(judged):,} judged pairs of {len(judged.regions())} regions, {problem.known.mean():.0%} with purchases "
        "of query and product"
    )
    steps = itertools.count()

    def report(epoch: Epoch) -> None:
        figures = {"loss": epoch.loss, "validation_macro_f1": epoch.validation, "seconds": epoch.seconds}
        phase = epoch.phase.replace(" ", "_")
        run.log_epoch(
            next(steps), {f"{name}/{phase}": value for name, value in figures.items() if value == value}
        )
        progress(str(epoch))

    with scratch_folder(settings.paths.spill, ".relevance-") as folder:
        fitter = Fitter(problem, judged, options, device, settings.seed, report)
        trained = train_models(fitter, model.to(device), files, folder)
        by_size = tuple(pd.Series(judged.pairs.regions.to_pylist()).value_counts().index)
        packaging.save_recipe(folder / MODELS, packaging.Recipe(options, judged.names, length, by_size))
        write_tested(folder / TESTED, judged, trained.two_phases)
    # Files are copied, and the model is logged, after this function has ended.
    weakref.finalize(trained, shutil.rmtree, folder, ignore_errors=True)
    return _outcome(trained, judged, problem, options, inputs)


def train_models(fitter: Fitter, model: Salam, files: NeighbourhoodFiles | None, folder: Path) -> Trained:
    """Train in two phases, write each model and its vectors of all nodes, and ask it for the test queries."""
    problem, judged, options, device = fitter.problem, fitter.judged, fitter.options, fitter.device
    test = judged.rows(Split.TEST)
    shape = (len(test), len(judged.names))
    trained = Trained(folder, np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    for name, current, _ in fitter.phases(model):
        rows = test if name == ALL else judged.rows(Split.TEST, name)
        found = predict(current, problem, rows, options.predict_batch, device)
        if name == ALL:
            trained.one_phase[:] = found
        elif len(rows):
            trained.two_phases[np.searchsorted(test, rows)] = found
        trained.digests[name] = packaging.save_model(folder / MODELS, name, current, problem.reader)
        if files is not None:
            vectors = disk_matrix(folder, len(files.node_ids), current.length)
            encode_nodes(current, files, vectors, NODES_AT_ONCE, device)
            np.save(folder / encoded_file(name), vectors)
    return trained


def read_files(inputs: Inputs) -> NeighbourhoodFiles | None:
    """Return the neighbourhoods of the inputs, or None if nothing was bought after a query."""
    if NEIGHBOURHOODS.name not in inputs.versions:
        return None
    return open_neighbourhoods(inputs.folder(NEIGHBOURHOODS.name), inputs.folder(NODES.name))


def encoded_file(region: str) -> str:
    """Return the name of the file of the nodes' vectors by the model of a region."""
    return f"encoded-{region.replace(' ', '-')}.npy"


def held_out_metrics(judged: Judged, problem: Problem, trained: Trained) -> dict[str, float]:
    """Return the figures of the test queries: of all, of each region, of known and unknown queries, of one phase."""
    rows = judged.rows(Split.TEST)
    true, names = judged.classes[rows], judged.names
    found = trained.two_phases.argmax(1)

    def macro(chosen: npt.NDArray[np.bool_], answers: npt.NDArray[np.int64] = found) -> float:
        return classification_metrics(true[chosen], answers[chosen], names)["macro_f1"]

    figures = classification_metrics(true, found, names)
    known = problem.roots[0, rows] >= 0
    parts = {"known_queries": known, "unknown_queries": ~known}
    regions = np.array(judged.pairs.regions.to_pylist())[rows]
    parts |= {region: regions == region for region in judged.regions()}
    figures |= {f"macro_f1_{name}": macro(part) for name, part in parts.items() if part.any()}
    figures["macro_f1_one_phase"] = macro(np.ones(len(rows), bool), trained.one_phase.argmax(1))
    return {**figures, "judgements": float(len(judged)), "tested": float(len(rows))}


def write_tested(path: Path, judged: Judged, probabilities: Floats) -> None:
    """Write the test pairs with their true and their most probable class, by which versions are compared."""
    rows = judged.rows(Split.TEST)
    pairs = judged.pairs.take(rows)
    names = pa.array(judged.names)
    table = {
        "query": pairs.query_nodes,
        "product": pairs.product_nodes,
        "locale": pairs.regions,
        "true": names.take(pa.array(judged.classes[rows])),
        "found": names.take(pa.array(probabilities.argmax(1))),
    }
    pq.write_table(pa.table(table), path, compression="zstd")


def _outcome(
    trained: Trained, judged: Judged, problem: Problem, options: RelevanceSettings, inputs: Inputs
) -> Outcome:
    test = judged.rows(Split.TEST)
    rows = []
    for region in judged.regions():
        places = np.searchsorted(test, judged.rows(Split.TEST, region))
        true, found = judged.classes[test[places]], trained.two_phases[places].argmax(1)
        figures = classification_metrics(true, found, judged.names)
        count = int(pc.sum(pc.equal(judged.pairs.regions, region)).as_py())
        rows.append((region, trained.digests[region], count, figures["macro_f1"], figures["micro_f1"]))
    keys, *columns = zip(*rows, strict=True)
    types = (pa.string(), pa.int64(), pa.float64(), pa.float64())

    def write(folder: Path) -> None:
        shutil.copyfile(trained.folder / TESTED, folder / TESTED)
        for path in trained.folder.glob("encoded-*.npy"):
            shutil.copyfile(path, folder / path.name)

    return Outcome(
        keys=keys,
        vectors={},
        metric="dot",
        normalised=False,
        model=packaging.digest_of_folder(trained.folder / MODELS),
        preprocessing=digest.of_json(options.deciding()),
        metrics=held_out_metrics(judged, problem, trained),
        log_model=lambda: log_models(trained.folder / MODELS),
        entity=SPACE.entity.key,
        write=write,
        columns={
            name: pa.array(values, kind)
            for name, values, kind in zip(SPACE.columns, columns, types, strict=True)
        },
    )


def log_models(folder: Path) -> str:
    """Log the models of all regions to the active run, register them as `relevance`, and return their URI."""
    example = pd.DataFrame({"query": ["phone case"], "product": ["Acme Phone Case, Blue"], "locale": ["us"]})
    names = packaging.read_recipe(folder).names
    answer = pd.DataFrame({"label": [names[0]], **{key: [0.5] for key in names}})
    info = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(__file__).with_name("mlflow_model.py")),
        artifacts={MODELS: str(folder)},
        signature=infer_signature(example, answer),
        input_example=example,
        # Named here, since MLflow would load the model in another process to find them.
        pip_requirements=[
            f"torch=={torch.__version__.split('+')[0]}",
            f"transformers=={transformers.__version__}",
            f"safetensors=={safetensors.__version__}",
        ],
    )
    return register_model(SPACE.name, info.model_id, info.run_id)
