"""Seconds of the page at /explore in a headless Chromium: until the map is drawn, and from a click to the answer.

    python benchmarks/explore.py --output benchmarks/results/explore.json
    python benchmarks/explore.py --products 5000 --many 0

The home is of a synthetic store with vectors that are drawn in clusters, not trained, and with places to match: for the
page only their number matters. The map with many points repeats the products of the other; it is drawn, not clicked.
Chromium draws by software (SwiftShader) where there is no GPU, on the cores that the server uses, too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import twinvec
from benchmarks.browser import opened, served
from benchmarks.measuring import Ratio, add_output, finish
from pipelines.evaluation.layout import PRODUCTS_SQL, by_frequency
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.catalogue.synthetic.store import generate
from twinvec.vectors.maps import GROUPS, open_map, write_map

DIMENSION, CLUSTERS = 32, 60
# Notes when the button went up, and how long each frame took while the map is moved.
WATCH = """
addEventListener('pointerup', () => { window.pressed = performance.now(); }, true);
window.frames = [];
window.watch = () => { let last = performance.now(); const note = (now) => { window.frames.push(now - last); last = now;
  if (window.watching) requestAnimationFrame(note); }; window.watching = true; requestAnimationFrame(note); };
"""
DRAWN = "() => { const [each] = performance.getEntriesByName('twinvec: map'); return each.startTime + each.duration; }"
ANSWERED = """() => { const each = performance.getEntriesByName('twinvec: answer').at(-1);
  return each.startTime + each.duration - window.pressed; }"""
REQUESTS = """() => performance.getEntriesByType('resource').filter((each) => /api.product|.related./.test(each.name))
  .map((each) => each.responseEnd - each.requestStart)"""
Floats = npt.NDArray[np.float32]


def build(folder: Path, products: int) -> None:
    """Make a home whose live release has this many products, and a map."""
    generate(folder / "store", products, images=False)
    random = np.random.default_rng(0)
    with twinvec.open(folder / "home") as home:
        home.ingest(folder / "store")
        with open_snapshot(home.workspace.snapshot().path).connect() as connection:
            table = connection.sql(PRODUCTS_SQL).to_arrow_table()
        cluster = random.integers(0, CLUSTERS, table.num_rows)
        centres = random.standard_normal((CLUSTERS, DIMENSION))
        sides = (
            (centres[cluster] + 0.7 * random.standard_normal((table.num_rows, DIMENSION))).astype(np.float32)
            for _ in range(2)
        )
        columns = {
            f"{role}_vector": as_lists(side) for role, side in zip(("source", "target"), sides, strict=True)
        }
        version = home.import_vectors("related", pa.table({"product_id": table["product_id"], **columns}))
        home.promote(home.publish(version.name).label)
        for name in GROUPS:
            table = table.set_column(table.schema.get_field_index(name), name, by_frequency(table[name]))
        places = random.uniform(-0.9, 0.9, (CLUSTERS, 2))[cluster] + 0.05 * random.standard_normal(
            (len(cluster), 2)
        )
        places = places.clip(-1, 1).astype(np.float32)
        for role in ("source", "target"):
            for axis, name in enumerate("xy"):
                table = table.append_column(f"{role}_{name}", pa.array(places[:, axis]))
        write_map(Path(version.path), table)


def as_lists(vectors: Floats) -> pa.Array:
    """Return vectors as an array of lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def enlarge(folder: Path, points: int) -> None:
    """Repeat the products of a map until it has this many."""
    table = open_map(folder, "related@v1")
    times = -(-points // table.num_rows)
    whole = pa.concat_tables([table] * times).slice(0, points)
    ids = pa.array([f"{name}#{number}" for number, name in enumerate(whole["product_id"].to_pylist())])
    whole = whole.set_column(whole.schema.get_field_index("product_id"), "product_id", ids).sort_by(
        "product_id"
    )
    write_map(folder, whole.combine_chunks())


def load(browser: Any, address: str) -> tuple[Any, float]:
    """Open the page in a window of its own, and return it and the milliseconds until the map was drawn."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(WATCH)
    page.goto(f"{address}/explore?theme=light&why=0")
    page.wait_for_selector("body[data-drawn]")
    return page, page.evaluate(DRAWN)


def click(page: Any, place: list[float]) -> float | None:
    """Click on a place of the map, and return the milliseconds from the click to the answer; None if it hit nothing."""
    box = page.locator("#canvas").bounding_box()
    half = min(box["width"], box["height"]) / 2
    x, y = box["x"] + box["width"] / 2 + place[0] * half, box["y"] + box["height"] / 2 - place[1] * half
    page.evaluate("() => { delete document.body.dataset.product; }")
    page.mouse.move(x - 8, y)
    page.mouse.move(x, y, steps=2)
    page.wait_for_timeout(150)
    page.mouse.click(x, y)
    try:
        page.wait_for_selector("body[data-product]", timeout=5000)
    except Exception:
        return None
    page.wait_for_load_state("networkidle")
    return float(page.evaluate(ANSWERED))


def frames(page: Any) -> list[float]:
    """Return the milliseconds of each frame while the map is dragged about."""
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate("() => window.watch()")
    for step in range(40):
        page.mouse.move(x + 3 * step, y + 2 * step)
        page.wait_for_timeout(16)
    page.evaluate("() => { window.watching = false; }")
    page.mouse.up()
    spent: list[float] = page.evaluate("() => window.frames.slice(1)")
    return spent


def main() -> None:
    """Measure, print the figures, and write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--many", type=int, default=1_000_000, help="points of the large map; 0 for none")
    parser.add_argument("--rounds", type=int, default=3, help="times that the page is opened")
    parser.add_argument("--clicks", type=int, default=12, help="clicks in each")
    parser.add_argument("--port", type=int, default=8941)
    parser.add_argument("--folder", type=Path, help="folder of the home, which is kept and used again")
    add_output(parser)
    arguments = parser.parse_args()
    drawn: list[float] = []
    answers: list[list[float]] = []
    moved: list[float] = []
    requests: list[float] = []
    many: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if not (folder / "home").is_dir():
            build(folder, arguments.products)
        version = folder / "home" / "versions" / "related" / "v1"
        table = open_map(version, "related@v1")
        places = np.stack([table["target_x"].to_numpy(), table["target_y"].to_numpy()], axis=1)
        random = np.random.default_rng(1)
        with served(folder / "home", arguments.port) as address, opened() as browser:
            for _ in range(arguments.rounds):
                page, milliseconds = load(browser, address)
                drawn.append(milliseconds)
                chosen = places[random.integers(0, len(places), arguments.clicks)]
                spent = [
                    each for each in (click(page, place) for place in chosen.tolist()) if each is not None
                ]
                answers.append(spent)
                requests += page.evaluate(REQUESTS)
                moved += frames(page)
                page.context.close()
            if arguments.many:
                enlarge(version, arguments.many)
                page, milliseconds = load(browser, address)
                many = {"drawn_ms": milliseconds}
                page.context.close()
    all_answers = [each for spent in answers for each in spent]
    figures: dict[str, Any] = {
        "drawn_ms": drawn,
        "first_answer_ms": [spent[0] for spent in answers],
        "answer_ms": {
            "p50": statistics.median(all_answers),
            "max": max(all_answers),
            "clicks": len(all_answers),
        },
        "request_ms": {"p50": statistics.median(requests), "max": max(requests)},
        "frame_ms": {"p50": statistics.median(moved), "max": max(moved)},
        "many": many,
    }
    first = max(figures["first_answer_ms"])
    ratios = [
        Ratio(what, bound, value, 1.0, least=False)
        for what, bound, value in (
            (f"{arguments.products:,} points drawn, median", "2 s", statistics.median(drawn) / 2000),
            ("answer to a click, median", "100 ms", statistics.median(all_answers) / 100),
            ("answer to the first click on a page, worst", "100 ms", first / 100),
        )
    ]
    settings = {name: getattr(arguments, name) for name in ("products", "many", "rounds", "clicks")}
    finish(arguments.output, settings, ratios, figures, ("fastapi", "uvicorn", "playwright", "duckdb"))


if __name__ == "__main__":
    main()
