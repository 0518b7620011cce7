"""Picture of a lineage, from the snapshot on the left to the releases on the right."""

from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path

from twinvec.files import write_bytes
from twinvec.releases.lineage import Lineage, Node, depths

FORMATS = (".svg", ".png", ".pdf")
# The boxes and their distances, in inches.
WIDTH, HEIGHT = 1.7, 0.5
COLUMN, ROW = 2.3, 0.75
MARGIN = 0.6
COLOURS = {
    "snapshot": "#e8e8e8",
    "building": "#fff3c4",
    "ready": "#d6e9ff",
    "live": "#bfe8c5",
    "retired": "#e6e0ee",
    "removed": "#ffffff",
    "failed": "#f7c6c5",
}


def draw(lineage: Lineage, file: Path) -> None:
    """Draw the lineage into `file`. Its suffix, one of `FORMATS`, is the format; no partial file ever appears."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    corners = layout(lineage)
    right = max(x for x, _ in corners.values()) + WIDTH
    low, high = min(y for _, y in corners.values()), max(y for _, y in corners.values()) + HEIGHT
    figure = Figure(figsize=(right + 2 * MARGIN, high - low + 2 * MARGIN))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-MARGIN, right + MARGIN), ylim=(low - MARGIN, high + MARGIN))
    axes.axis("off")
    for key, (x, y) in corners.items():
        node = lineage.nodes[key]
        box = FancyBboxPatch(
            (x, y),
            WIDTH,
            HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=COLOURS[node.state or node.kind],
            edgecolor="black",
            linewidth=2.0 if node == lineage.about else 0.6,
        )
        axes.add_patch(box)
        axes.text(x + WIDTH / 2, y + HEIGHT / 2, _label(node), ha="center", va="center", fontsize=8)
    for parent, child in lineage.edges:
        (x, y), (to_x, to_y) = corners[parent], corners[child]
        # An arrow that passes a column bends around its boxes.
        bend = 0.3 if to_x - x > 1.5 * COLUMN else 0
        arrow = {"arrowstyle": "->", "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0}
        axes.annotate(
            "",
            (to_x, to_y + HEIGHT / 2),
            (x + WIDTH, y + HEIGHT / 2),
            arrowprops={**arrow, "connectionstyle": f"arc3,rad={bend}"},
            zorder=0,
        )
    drawn = io.BytesIO()
    figure.savefig(drawn, format=file.suffix[1:], dpi=150)
    write_bytes(file, drawn.getvalue())


def layout(lineage: Lineage) -> dict[str, tuple[float, float]]:
    """Return key → lower left corner of its box in inches: one column a depth, each row near its parents."""
    columns: dict[int, list[str]] = defaultdict(list)
    for key, depth in depths(lineage).items():
        columns[depth].append(key)
    corners: dict[str, tuple[float, float]] = {}
    for depth, keys in sorted(columns.items()):

        def height(key: str) -> float:
            above = [corners[parent][1] for parent in lineage.made_from(key)]
            return sum(above) / len(above) if above else 0.0

        ordered = sorted(keys, key=height)
        for row, key in enumerate(ordered):
            corners[key] = (depth * COLUMN, (row - (len(ordered) - 1) / 2) * ROW)
    return corners


def _label(node: Node) -> str:
    return f"{node.name}\n{node.state or node.kind}, {node.made_at:%Y-%m-%d}"
