"""Directed link prediction by DirLinkBench's protocol, beside the figures it publishes: CiteSeer and Amazon Photo.

    python benchmarks/dirlinkbench.py --data citeseer.npz \
        --output benchmarks/results/dirlinkbench.json --table docs/results/dirlinkbench.md
    python benchmarks/dirlinkbench.py --graph amazon_photo --data amazon_electronics_photo.npz \
        --output benchmarks/results/dirlinkbench_photo.json --table docs/results/dirlinkbench_photo.md

The figures of a row are the mean and the standard deviation over the splits. The validation edges of a split decide
when training stops and which settings are chosen. Rows in the output of the same splits stay, so that rows can be run
one at a time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import normalize

from benchmarks.dirlinkbench_data import Documents, FloatArray, Task, judge, read_documents, split
from benchmarks.link_recipe import LinkRecipe, fit_links, smoothed
from pipelines.baselines.problem import RankingProblem
from pipelines.baselines.registry import baselines
from pipelines.command.output import markdown_table
from pipelines.comparisons.contenders import OWN, model_rows
from pipelines.graph.product_graph import Edges
from pipelines.related.fitting import fit, make_plan
from twinvec.files import write_text
from twinvec.metrics.scores import DotProducts, Scores
from twinvec.nn.calibration import weight_fitter
from twinvec.settings import RelatedSettings


@dataclass(frozen=True)
class Benchmark:
    """One graph of the benchmark.

    Attributes:
        published: Row → Hits@100, MRR and AUC, per cent, mean over 10 splits (He et al., arXiv 2502.05724).
        rows: Rows that are fitted if none is named; None fits all.
        training: Settings of the models that differ from the defaults.
    """

    published: dict[str, tuple[float | None, ...]]
    rows: tuple[str, ...] | None = None
    training: dict[str, Any] = field(default_factory=dict)


# CiteSeer has a tenth of the edges that the defaults suit: smaller batches, more epochs.
SHORT = {"batch": 512, "epochs": 60}
BENCHMARKS = {
    "citeseer": Benchmark(
        published={
            "SDGAE": (93.69, 42.50, 97.24),
            "DHYPR": (92.32, 32.39, 96.61),
            "DiGAE": (83.64, 22.88, 91.03),
            "STRAP": (69.32, 40.70, 81.82),
            "DUPLEX": (73.39, 17.82, 84.63),
            "MagNet": (65.32, 15.31, 83.05),
        },
        training={"paper": {**SHORT, "learning_rate": 3e-3}, "daemon": SHORT},
    ),
    "amazon_photo": Benchmark(
        published={"SDGAE": (68.84, 14.82, 99.25), "STRAP": (69.16, 12.08, None)},
        rows=("popularity", "als", "ease", "strap", "pagerank", "twinvec"),
    ),
}
HOPS = (1, 2, 3)
CONTENT = ("text",)
FIGURES = {"hits_at_100": "Hits@100", "mrr": "MRR", "auc": "AUC"}
Fit = Callable[[Task, FloatArray, int], Scores | None]


def read_content(documents: Documents, dimension: int) -> FloatArray:
    """Return words weighted by TF-IDF and reduced by SVD, rows of length one, float32 [n, dimension]."""
    weighed = TfidfTransformer().fit_transform(documents.words)
    reduced = TruncatedSVD(dimension, random_state=0).fit_transform(weighed)
    content: FloatArray = normalize(reduced).astype(np.float32)
    return content


def baseline(task: Task, content: FloatArray, seed: int, name: str, dimension: int) -> Scores | None:
    """Fit a registered baseline on the training edges and the words."""
    return baselines(CONTENT)[name](RankingProblem(task.graph, {"text": content}, dimension, seed))


def model(task: Task, content: FloatArray, seed: int, recipe: str, options: RelatedSettings) -> Scores:
    """Fit a model of `related`; validation pairs stop it early and calibrate it, if it is Twinvec's own."""
    options = options.model_copy(update={"recipe": recipe, "calibrate": recipe == OWN})
    graph, (first, second) = task.graph, task.validation.edges
    held_out = Edges(first, second, np.ones(len(first), np.int64))
    known = graph.copurchase.matrix(graph.products) + held_out.matrix(graph.products)
    plan = make_plan(task.graph, torch.from_numpy(content), options, seed)
    fitted = fit(
        plan,
        options,
        torch.device("cpu"),
        seed,
        validate=lambda source, target: judge(DotProducts(source, target), task.validation).auc,
        fit_weights=weight_fitter(held_out.ends, known, options.direction, seed),
    )
    return DotProducts(fitted.source, fitted.target)


def smooth_content(task: Task, content: FloatArray, seed: int) -> Scores:
    """Score by the cosine of smoothed content; the validation pairs choose the number of hops."""
    near = [torch.from_numpy(smoothed(content, task.graph.copurchase, hops)) for hops in HOPS]
    return best([DotProducts(vectors, vectors) for vectors in near], task)


def links(task: Task, content: FloatArray, seed: int) -> Scores:
    """Fit the link recipe; the validation pairs choose the number of hops."""
    recipes = [replace(LinkRecipe(), hops=hops) for hops in HOPS]
    return best([fit_links(task.graph, content, recipe, seed) for recipe in recipes], task)


def best(candidates: list[DotProducts], task: Task) -> DotProducts:
    """Return the scores with the largest area under the ROC curve of the validation pairs."""
    return max(candidates, key=lambda scores: judge(scores, task.validation).auc)


def row_fits(dimension: int, training: dict[str, Any]) -> dict[str, Fit]:
    """Return the function that fits each row, by its name, with vectors of this length and settings of `related`."""
    options = RelatedSettings.model_validate(
        {
            "dimension": dimension,
            "sampler": "csr",
            "direction": 0,  # the benchmark has no reverses
            **training,
        }
    )
    fits: dict[str, Fit] = {
        name: partial(baseline, name=name, dimension=dimension)
        for name in baselines(CONTENT)
        if name != "pagerank + co-views"  # the benchmark has no co-views
    }
    fits["smoothed content"] = smooth_content
    for name, recipe in model_rows().items():
        fits[name] = partial(model, recipe=recipe, options=options)
    fits["twinvec, link recipe"] = links
    return fits


def measure(fit_row: Fit, tasks: list[Task], content: FloatArray) -> dict[str, list[float]] | None:
    """Return the figures on the test pairs of each split, per cent, and the seconds of fitting; None without data."""
    values: dict[str, list[float]] = {name: [] for name in (*FIGURES, "seconds")}
    for seed, task in enumerate(tasks):
        started = time.perf_counter()
        scores = fit_row(task, content, seed)
        seconds = time.perf_counter() - started
        if scores is None:
            return None
        for name, value in asdict(judge(scores, task.test)).items():
            values[name].append(round(100 * value, 3))
        values["seconds"].append(round(seconds, 3))
    return values


def table(rows: dict[str, dict[str, list[float]]], benchmark: Benchmark) -> str:
    """Return all rows and the published ones, in Markdown."""
    lines: list[tuple[str, ...]] = [
        (name, *("" if value is None else f"{value:.2f}" for value in values), "", "", "published")
        for name, values in benchmark.published.items()
    ]
    for name, figures in rows.items():
        cells = (f"{np.mean(figures[each]):.2f} ± {np.std(figures[each]):.2f}" for each in FIGURES)
        against = "" if name == OWN or OWN not in rows else differences(rows[OWN], figures)
        lines.append((name, *cells, against, f"{np.mean(figures['seconds']):.1f}", "measured"))
    return markdown_table(["", *FIGURES.values(), f"{OWN} minus it", "s a split", ""], lines)


def differences(own: dict[str, list[float]], other: dict[str, list[float]]) -> str:
    """Return how much the first is better in each figure, with 95% intervals of the mean, paired over the splits."""
    cells = []
    for figure in FIGURES:
        difference = np.subtract(own[figure], other[figure])
        margin = stats.t.ppf(0.975, len(difference) - 1) * stats.sem(difference)
        cells.append(f"{np.mean(difference):+.2f} ± {margin:.2f}")
    return " / ".join(cells)


def main() -> None:
    """Run the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--graph", choices=[*BENCHMARKS], default="citeseer", help="graph that --data holds")
    parser.add_argument(
        "--data", type=Path, required=True, help="file of gnn-benchmark, such as citeseer.npz"
    )
    parser.add_argument("--seeds", type=int, default=10, help="number of splits")
    parser.add_argument("--dimension", type=int, default=128, help="length of all learned vectors")
    parser.add_argument(
        "--row",
        action="append",
        choices=[*row_fits(4, {})],
        help="row to fit; may be repeated; default: those of the graph",
    )
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--table", type=Path, help="Markdown file whose table is replaced")
    arguments = parser.parse_args()

    documents = read_documents(arguments.data)
    tasks = [split(documents, seed) for seed in range(arguments.seeds)]
    # A vector of the link recipe has two coordinates beside the content's.
    content = read_content(documents, arguments.dimension - 2)
    benchmark = BENCHMARKS[arguments.graph]
    every = row_fits(arguments.dimension, benchmark.training)
    chosen = arguments.row or benchmark.rows or [*every]
    protocol = {
        "nodes": documents.citations.shape[0],
        "edges": int(documents.citations.nnz),
        "training_edges": len(tasks[0].graph.copurchase),
        "validation_edges": len(tasks[0].validation.edges[0]),
        "test_edges": len(tasks[0].test.edges[0]),
        "splits": arguments.seeds,
        "dimension": arguments.dimension,
    }
    rows = read_rows(arguments.output, protocol)
    for name, fit_row in every.items():
        if name not in chosen:
            continue
        figures = measure(fit_row, tasks, content)
        if figures is None:
            continue
        rows[name] = figures
        means = {each: round(float(np.mean(values)), 2) for each, values in figures.items()}
        print(f"{name:28} {means}", flush=True)
        rows = {each: rows[each] for each in every if each in rows}
        if arguments.output:
            write_text(arguments.output, json.dumps({"protocol": protocol, "rows": rows}, indent=1) + "\n")
    if arguments.table:
        replace_table(arguments.table, table(rows, benchmark))


def read_rows(path: Path | None, protocol: dict[str, int]) -> dict[str, Any]:
    """Return the rows that an earlier run with the same splits wrote."""
    if path is None or not path.exists():
        return {}
    earlier = json.loads(path.read_text())
    return dict(earlier["rows"]) if earlier["protocol"] == protocol else {}


def replace_table(path: Path, new: str) -> None:
    """Replace the first table of a page, or append one."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    inside = [number for number, line in enumerate(lines) if line.startswith("|")]
    first = inside[0] if inside else len(lines)
    last = next(
        (number for number in range(first, len(lines)) if not lines[number].startswith("|")), len(lines)
    )
    write_text(path, "".join([*lines[:first], new, *lines[last:]]))


if __name__ == "__main__":
    main()
