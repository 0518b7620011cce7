"""Fill the tables of docs/performance.md and docs/dimension.md, between markers, from benchmarks/results/*.json.

    python benchmarks/table.py

A benchmark without a result keeps its rows, without figures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE, DIMENSION_PAGE = ROOT / "docs" / "performance.md", ROOT / "docs" / "dimension.md"
BEGIN, END = "<!-- {name}: made by `python benchmarks/table.py` -->", "<!-- end of {name} -->"
# Benchmark → rows of its table while there is no result: what is measured, against what, bound.
EXPECTED = {
    "graph_build": [("graph build", "the best of the others", "≥ 2")],
    "training": [
        (f"edges/s of an epoch, {size} products", "DGL's tutorial", "≥ 3") for size in ("65,000", "650,000")
    ],
    "inference": [("nodes/s of full-graph inference", "the best size of blocks", "≥ 5")],
    "gpu": [
        *(
            (f"edges a second, {model}, {precision}", "the other checkout", "≥ 3")
            for model in ("merlin", "sage")
            for precision in ("float32", "bfloat16")
        ),
        *(
            (f"{part}, {what}", "the library alone", "≥ 1")
            for part, what in (
                ("texts a second", "encoding"),
                ("texts a second", "training"),
                ("images a second", "encoding"),
            )
        ),
    ],
    "features": [("read of a version", "the bare DuckDB join", "≤ 1.3")],
    "publish": [
        ("publish", "bare Edge", "≤ 1.2"),
        *(
            (f"query by {way}, {part}", f"bare Edge's `{call}`", "≤ 1.2")
            for way in ("id", "vector")
            for call in ("query", "search")
            for part in ("p50", "p99")
        ),
    ],
    "serving": [("answers a second on 32 connections", "a constant FastAPI app", "≥ 0.7")],
    "explore": [("100,000 points drawn", "2 s", "≤ 1")],
}
Record = Mapping[str, Any]


def ratios(name: str, record: Record | None) -> list[str]:
    """Return the table of a benchmark's ratios."""
    lines = ["| what | against | target | measured |", "| --- | --- | --- | --- |"]
    if record is None:
        return [*lines, *(f"| {what} | {against} | {bound}× | |" for what, against, bound in EXPECTED[name])]
    for row in record["ratios"]:
        bound = f"{'≥' if row['least'] else '≤'} {row['target']:g}×"
        figure = f"{row['value']:.2f}×" + ("" if row["met"] else " (missed)")
        lines.append(f"| {row['what']} | {row['against']} | {bound} | {figure} |")
    return [*lines, "", measured_on(record)]


def measured_on(record: Record) -> str:
    """Return one sentence about the size, the machine and the versions of a measurement."""
    machine, settings = record["machine"], record["settings"]
    size = settings.get("size")
    at = (
        f"`--size {' '.join(map(str, size)) if isinstance(size, list) else size}`, "
        if size is not None
        else ""
    )
    versions = ", ".join(f"{package} {number}" for package, number in machine["versions"].items())
    return (
        f"At {at}{machine['cores']} cores of {machine['processor']}, load {machine['load']} when it ended; {versions}; "
        f"{machine['date'][:10]}."
    )


def growth(records: list[Record]) -> list[str]:
    """Return the table of all sizes of `scale.py`."""
    lines = [
        "| recipe | products | co-purchases | co-views | plan | epoch | edges/s | inference | nodes/s | all epochs "
        "| peak memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(records, key=lambda record: record["products"]):
        seconds, batches = row["seconds"], row["batches"]
        epoch = f"{seconds['epoch']:,.0f} s"
        if row["epoch_is_extrapolated"]:
            epoch += f" (extrapolated from {batches['run']} of {batches['of an epoch']} batches)"
        plan = f"{seconds['plan']:,.1f} s"
        if row.get("walks"):
            plan += f" (extrapolated from the walks of {row['walks']:,} products)"
        whole = "–"
        if "epochs" in row:
            whole = f"{seconds['plan'] + row['epochs'] * seconds['epoch'] + seconds['inference']:,.0f} s"
        lines.append(
            f"| `{row['recipe']}` | {row['products']:,} | {row['edges']['copurchase']:,} | {row['edges']['coview']:,} "
            f"| {plan} | {epoch} | {row['edges_per_second']['trained']:,.0f} "
            f"| {seconds['inference']:,.1f} s | {row['nodes_per_second']:,.0f} | {whole} "
            f"| {row['peak_mib'] / 1024:.1f} GiB |"
        )
    sizes: dict[str, list[str]] = {}
    for row in sorted(records, key=lambda record: record["products"]):
        sizes.setdefault(measured_on(row), []).append(f"{row['products']:,}")
    notes = [f"{' and '.join(products)} products: {machine}" for machine, products in sizes.items()]
    return [*lines, "", *notes]


def road(record: Record) -> list[str]:
    """Return the table of `road.py`: seconds of each stage at every size, and its peak memory at the largest."""
    sizes: Mapping[str, Record] = record["sizes"]
    largest = max(sizes, key=int)
    counts = [f"{int(size):,} products" for size in sizes]
    lines = [
        f"| stage | {' | '.join(counts)} | exponent | peak memory at {int(largest):,} |",
        f"| --- |{' ---: |' * (len(counts) + 2)}",
    ]
    for stage, figures in sizes[largest].items():
        seconds = " | ".join(f"{row[stage]['seconds']:.1f} s" for row in sizes.values())
        exponent = record["exponent"]["seconds"].get(stage)
        lines.append(
            f"| {stage} | {seconds} | {'' if exponent is None else f'{exponent:.2f}'} "
            f"| {figures['peak_mib'] / 1024:.1f} GiB |"
        )
    return [*lines, "", measured_on(record)]


def rankings(record: Record) -> list[str]:
    """Return the table of `ranking.py`: seconds of each step and peak memory, at every size."""
    lines = ["| products | examples | trees | lists | peak memory |", "| ---: | ---: | ---: | ---: | ---: |"]
    for row in record["rows"]:
        steps = " | ".join(f"{row['seconds'][step]:.0f} s" for step in ("examples", "trees", "lists"))
        lines.append(f"| {row['products']:,} | {steps} | {row['peak_mib'] / 1024:.1f} GiB |")
    return [*lines, "", measured_on(record)]


def dimensions(record: Record) -> list[str]:
    """Return the table of `dimension.py`."""
    lines = [
        "| `related.dimension` | `qdrant.quantization` | MRR@10 | recall@10 | memory a product | index on disk | build "
        "| query, p50 |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['dimension']} | `{row['quantization']}` | {row['mrr_at_10']:.4f} | {row['recall_at_10']:.4f} "
        f"| {row['memory_bytes'] / record['products']:,.0f} B | {row['index_bytes'] / 2**20:.1f} MiB "
        f"| {row['build_seconds']:.1f} s | {row['query_p50_ms']:.2f} ms |"
        for row in record["rows"]
    ]
    of = f"{record['products']:,} products, {record['test_edges']:,} test edges."
    return [*lines, "", f"{of} {measured_on(record)}"]


def put(text: str, name: str, lines: list[str]) -> str:
    """Return the page with the lines between the markers of a table replaced."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    before, rest = text.split(begin, 1)
    return f"{before}{begin}\n" + "\n".join(lines).rstrip() + f"\n{end}{rest.split(end, 1)[1]}"


def fill(text: str, results: Path) -> str:
    """Return the page with all tables filled from the results in a folder."""
    for name in EXPECTED:
        file = results / f"{name}.json"
        text = put(text, name, ratios(name, json.loads(file.read_text("utf-8")) if file.exists() else None))
    sizes = [json.loads(file.read_text("utf-8")) for file in sorted(results.glob("scale_*.json"))]
    return put(text, "scale", growth(sizes))


def main() -> None:
    """Rewrite the pages."""
    results = ROOT / "benchmarks" / "results"
    lines = dimensions(json.loads((results / "dimension.json").read_text("utf-8")))
    stages = road(json.loads((results / "road.json").read_text("utf-8")))
    ranked = rankings(json.loads((results / "ranking.json").read_text("utf-8")))
    page = put(fill(PAGE.read_text("utf-8"), results), "road", stages)
    pages = {
        PAGE: put(page, "ranking", ranked),
        DIMENSION_PAGE: put(DIMENSION_PAGE.read_text("utf-8"), "dimension", lines),
    }
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(ROOT)} says what benchmarks/results holds")


if __name__ == "__main__":
    main()
