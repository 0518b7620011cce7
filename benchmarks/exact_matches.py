"""Settings of HRMS that keep exact matches: recall of exact ones and substitutes, nDCG, and recall of exact ones alone.

    python benchmarks/exact_matches.py --fashion styles.csv --output benchmarks/results/exact_matches.json
    python benchmarks/exact_matches.py --products 2000 --output benchmarks/results/exact_matches.json

The listings are those of the fashion taxonomy, titles alone, or of a synthetic store with listings. Their vectors are
encoded once; every variant is fitted with the same seeds, as `twinvec ablate similar` does. Problems that the output
holds already stay.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import twinvec
from benchmarks.measuring import add_output, finish
from pipelines.comparisons.comparison import Request
from pipelines.comparisons.similar import FIGURES, SimilarProblem, prepare
from pipelines.similar.fitting import fit, judge, make_hrms
from twinvec.catalogue.synthetic import generate
from twinvec.settings.similar import HierarchySettings

TITLES = {"words": ["title"], "held_out": "product", "test": 0.2, "epochs": 6, "batch": 512}
STORE = {
    "words": ["title", "attributes"],
    "images": False,
    "max_length": 32,
    "test": 0.2,
    "epochs": 12,
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "as published": {},
    "finest level twice": {"weights": (2.0, 1.0, 1.0)},
    "finest level four times": {"weights": (4.0, 1.0, 1.0)},
    "no pair taken out": {"deconflict": "never"},
    "no pair taken out, finest level twice": {"deconflict": "never", "weights": (2.0, 1.0, 1.0)},
}


def measure(problem: SimilarProblem, seeds: int, variants: list[str]) -> dict[str, dict[str, float]]:
    """Return the means and standard deviations over seeds of each variant."""
    options, division = problem.settings.similar, problem.division
    identity = problem.labels.matrix(("product", "family"))
    figures = {}
    for name in variants:
        rows = []
        for seed in range(seeds):
            loss = make_hrms(HierarchySettings.model_validate(VARIANTS[name]))
            model = fit(
                problem.content,
                problem.groups,
                division.training,
                division.validation,
                options,
                loss,
                problem.device,
                seed,
            )
            graded = judge(model, problem.content, identity, division.test, options.k)
            rows.append([np.nanmean(getattr(graded, figure)) for figure in FIGURES])
        means, spread = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1 if seeds > 1 else 0)
        figures[name] = {
            **dict(zip(FIGURES, means.tolist(), strict=True)),
            **{f"{figure}_sd": float(each) for figure, each in zip(FIGURES, spread, strict=True)},
        }
        print(name, figures[name], file=sys.stderr, flush=True)
    return figures


def main() -> None:
    """Measure one problem, and print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fashion", type=Path, help="styles.csv; a synthetic store if not given")
    parser.add_argument("--products", type=int, default=2000, help="products of the synthetic store")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    add_output(parser)
    options = parser.parse_args()
    problems: dict[str, Any] = {}
    if options.output is not None and options.output.exists():
        problems = json.loads(options.output.read_text("utf-8"))["problems"]
    name = "fashion taxonomy" if options.fashion else f"synthetic store, {options.products:,} products"
    with TemporaryDirectory() as folder:
        similar = TITLES if options.fashion else STORE
        with twinvec.open(Path(folder) / "home", device="cpu", similar=similar) as home:
            if options.fashion:
                home.ingest(options.fashion, format="fashion")
            else:
                store = Path(folder) / "store"
                generate(store, options.products, seed=0, images=False, listings=True)
                home.ingest(store)
            request = Request(home.workspace, home.workspace.snapshot(), lambda _: None)
            problems[name] = measure(prepare(request), options.seeds, options.variants)
    finish(options.output, {"seeds": options.seeds}, [], {"problems": problems}, ("torch",))


if __name__ == "__main__":
    main()
