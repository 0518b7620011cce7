"""The written store: contracts, determinism, and the truth recovered from the logs."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from twinvec import columns
from twinvec.catalogue.ingest import IngestReport
from twinvec.catalogue.synthetic import SIZES, StoreSummary, generate
from twinvec.errors import CatalogueError

TABLES = ("products", "orders", "views", "truth/products", "truth/complements", "truth/substitutes")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> StoreSummary:
    return generate(tmp_path_factory.mktemp("synthetic") / "tiny", "tiny", seed=3)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> StoreSummary:
    return generate(tmp_path_factory.mktemp("synthetic") / "small", "small", seed=3, images=False)


@pytest.fixture(scope="module", params=["tiny", "small"])
def mined(
    request: pytest.FixtureRequest, tiny: StoreSummary, small: StoreSummary
) -> duckdb.DuckDBPyConnection:
    """The store in DuckDB, its pairs mined both ways round: `products`, `orders`, `copurchase`, `truth`, …"""
    folder = {"tiny": tiny, "small": small}[request.param].folder
    connection = duckdb.connect()
    for table in TABLES:
        connection.execute(f"CREATE VIEW {table.replace('/', '_')} AS FROM '{folder / table}.parquet'")
    connection.execute(f"CREATE VIEW truth_categories AS FROM '{folder}/truth/categories.parquet'")
    for pairs, events, key in (("copurchase", "orders", "order_id"), ("coview", "views", "session_id")):
        connection.execute(
            f"""CREATE TABLE {pairs} AS
            SELECT a.product_id AS source, b.product_id AS target, count(*) AS count
            FROM (SELECT DISTINCT {key}, product_id FROM {events}) a
            JOIN (SELECT DISTINCT {key}, product_id FROM {events}) b USING ({key})
            WHERE a.product_id <> b.product_id GROUP BY ALL"""
        )
    return connection


def one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[float, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row


def read(summary: StoreSummary, table: str) -> pa.Table:
    return pq.read_table(summary.folder / f"{table}.parquet")


def test_the_same_seed_gives_the_same_store(tiny: StoreSummary, tmp_path: Path) -> None:
    again = generate(tmp_path / "again", 500, seed=3)
    for table in (*TABLES, "truth/categories"):
        assert read(again, table).equals(read(tiny, table)), table
    archive = "images-00000.zip"
    assert (again.folder / archive).read_bytes() == (tiny.folder / archive).read_bytes()


def test_another_seed_gives_another_store(tiny: StoreSummary, tmp_path: Path) -> None:
    other = generate(tmp_path / "other", "tiny", seed=4, images=False)
    assert not set(read(other, "products")["product_id"].to_pylist()) & set(
        read(tiny, "products")["product_id"].to_pylist()
    )
    assert not read(other, "orders").equals(read(tiny, "orders"))


def test_tables_keep_the_contract(tiny: StoreSummary) -> None:
    for name, schema in (
        ("products", columns.PRODUCTS),
        ("orders", columns.ORDERS),
        ("views", columns.VIEWS),
    ):
        assert read(tiny, name).schema.equals(schema), name
    ids = read(tiny, "products")["product_id"].to_pylist()
    assert len(set(ids)) == len(ids) == SIZES["tiny"] == tiny.products
    for name, key in (("orders", "order_id"), ("views", "session_id")):
        lines = read(tiny, name)
        assert set(lines["product_id"].to_pylist()) <= set(ids)
        assert len(lines.group_by([key, "product_id"]).aggregate([])) == len(lines), "a product twice in one"
        times = lines["time"].cast(pa.int64()).to_numpy()
        same = np.asarray(lines[key].to_pylist())
        assert (np.diff(times)[same[1:] == same[:-1]] >= 0).all(), "lines are in the order they happened"
    assert len(read(tiny, "orders")) == tiny.order_lines
    assert len(read(tiny, "views")) == tiny.views


def test_ingest_takes_all_of_it(tiny: StoreSummary, ingest_into: Callable[..., IngestReport]) -> None:
    report = ingest_into(tiny.folder, "parquet")
    assert report.rows == {"products": tiny.products, "orders": tiny.order_lines, "views": tiny.views}
    assert not any(report.quarantined.values())


def test_stated_shares_are_met(mined: duckdb.DuckDBPyConnection) -> None:
    row = one(
        mined,
        """SELECT avg((p.price IS NULL)::INT), avg((len(t.sold_in) > 1)::INT), avg(t.cold::INT),
            avg((cardinality(p.title) < len(t.sold_in))::INT), avg((p.product_id NOT IN
                (SELECT product_id FROM orders UNION SELECT product_id FROM views))::INT)
        FROM products p JOIN truth_products t USING (product_id)""",
    )
    assert np.abs(np.array(row) - [0.03, 0.4, 0.05, 0.03, 0.055]).max() < 0.03
    assert one(mined, "SELECT count(*) FROM orders JOIN truth_products USING (product_id) WHERE cold") == (0,)
    noise = """SELECT avg((t.ecosystem <> first_ecosystem)::INT), count(*) / count(DISTINCT {key}) FROM
        (SELECT *, first(product_id) OVER (PARTITION BY {key} ORDER BY time) AS opener FROM {events})
        JOIN truth_products t USING (product_id)
        JOIN (SELECT product_id AS opener, ecosystem AS first_ecosystem FROM truth_products) USING (opener)"""
    for events, key in (("orders", "order_id"), ("views", "session_id")):
        share, lines = one(mined, noise.format(events=events, key=key))
        assert 0.10 < share < 0.20
        assert 3 < lines < 5
    for pairs in ("copurchase", "coview"):
        (degree,) = one(mined, f"SELECT count(*) / (SELECT count(*) FROM products) FROM {pairs}")
        assert 8 < degree < 15


def test_popularity_is_far_from_even(mined: duckdb.DuckDBPyConnection) -> None:
    (top,) = one(
        mined,
        """WITH sold AS
            (SELECT p.product_id, count(o.product_id) AS n FROM products p
            LEFT JOIN orders o USING (product_id) GROUP BY ALL)
        SELECT sum(n) FILTER (rank <= 0.1) / sum(n)
        FROM (SELECT n, percent_rank() OVER (ORDER BY n DESC) AS rank FROM sold)""",
    )
    assert top > 0.3


def test_true_category_associations_stand_out(mined: duckdb.DuckDBPyConnection) -> None:
    """The lift of a pair of types: co-purchases over what independent types would have."""
    rows = mined.execute(
        """WITH counted AS (
            SELECT s.category AS source, t.category AS target, sum(count) AS n
            FROM copurchase c JOIN products s ON s.product_id = c.source
            JOIN products t ON t.product_id = c.target GROUP BY ALL),
        total AS (SELECT source, sum(n) AS n FROM counted GROUP BY ALL)
        SELECT k.kind, coalesce(c.n, 0) * (SELECT sum(n) FROM total) / (a.n * b.n)
        FROM truth_categories k
        JOIN total a ON a.source = k.source JOIN total b ON b.source = k.target
        LEFT JOIN counted c ON c.source = k.source AND c.target = k.target"""
    ).fetchall()
    complement, none = ([lift for kind, lift in rows if kind == wanted] for wanted in ("complement", "none"))
    assert len(complement) >= 14
    assert len(none) > 5 * len(complement)
    assert min(complement) > 1.2
    assert min(complement) > 2 * np.quantile(none, 0.95)
    assert np.median(complement) > 6 * np.median(none)


def test_true_complements_are_bought_together_far_more_often(mined: duckdb.DuckDBPyConnection) -> None:
    true, strong, unlinked = one(
        mined,
        """WITH found AS
            (SELECT coalesce(count, 0) AS n, strength FROM truth_complements
            LEFT JOIN copurchase USING (source, target))
        SELECT (SELECT avg(n) FROM found), (SELECT avg(n) FROM found WHERE strength > 0.3),
        (SELECT sum(count) FROM copurchase ANTI JOIN
            (FROM truth_complements UNION SELECT target, source, strength FROM truth_complements)
            USING (source, target)) / (SELECT count(*) ** 2 FROM products)""",
    )
    assert strong > 2 * true
    assert true > 50 * unlinked


def test_substitutes_are_viewed_together_far_more_often(mined: duckdb.DuckDBPyConnection) -> None:
    true, other = one(
        mined,
        """SELECT
        (SELECT avg(coalesce(count, 0)) FROM truth_substitutes LEFT JOIN coview USING (source, target)),
        (SELECT avg(count) FROM coview ANTI JOIN
            (FROM truth_substitutes UNION SELECT target, source FROM truth_substitutes)
            USING (source, target))""",
    )
    assert true > 2.5 * other


def test_the_base_is_bought_first_and_is_dearer(mined: duckdb.DuckDBPyConnection) -> None:
    (forward,) = one(
        mined,
        """SELECT avg((b.time > a.time)::INT) FROM truth_complements JOIN orders a ON a.product_id = source
        JOIN orders b ON b.product_id = target AND a.order_id = b.order_id""",
    )
    assert forward > 0.95
    (dearer,) = one(
        mined,
        """WITH medians AS (SELECT category, median(price) AS price FROM products GROUP BY category)
        SELECT avg((a.price > b.price)::INT) FROM truth_categories
        JOIN medians a ON a.category = source JOIN medians b ON b.category = target
        WHERE kind = 'complement'""",
    )
    assert dearer >= 0.9


def test_compatibility_can_be_read(small: StoreSummary) -> None:
    """A true complement's title names the base's model, or shape and pattern are the base's."""
    connection = duckdb.connect()
    folder = small.folder
    rows = connection.sql(
        f"""SELECT a.title['en'] AS base, b.title['en'] AS accessory, ta.style = tb.style
        FROM '{folder}/truth/complements.parquet' c
        JOIN '{folder}/products.parquet' a ON a.product_id = c.source
        JOIN '{folder}/products.parquet' b ON b.product_id = c.target
        JOIN '{folder}/truth/products.parquet' ta ON ta.product_id = c.source
        JOIN '{folder}/truth/products.parquet' tb ON tb.product_id = c.target
        WHERE a.title['en'] IS NOT NULL AND b.title['en'] IS NOT NULL"""
    ).fetchall()
    assert len(rows) > 1_000
    by_model = [(base, accessory) for base, accessory, _ in rows if " for " in accessory]
    assert 0.2 < len(by_model) / len(rows) < 0.8
    for base, accessory in by_model:
        assert accessory.split(" for ")[1].split(",")[0] in base
    assert all(same_style for _, accessory, same_style in rows if " for " not in accessory)


def test_titles_are_in_the_languages_of_the_markets(tiny: StoreSummary) -> None:
    language = {"us": "en", "es": "es", "br": "pt"}
    products, truth = read(tiny, "products").to_pylist(), read(tiny, "truth/products").to_pylist()
    for product, true in zip(products, truth, strict=True):
        sold = {language[market] for market in true["sold_in"]}
        titles = dict(product["title"])
        assert product["marketplace"] in true["sold_in"]
        assert set(titles) == sold or sold - set(titles) == {language[product["marketplace"]]}
        assert all(true["colour"] in title for lang, title in titles.items() if lang == "en")
    found = [dict(product["title"]) for product in products if product["category"][-1] == "Phone Cases"]
    assert any(title.get("es", "").startswith("Funda para teléfono ") for title in found)
    assert any(title.get("pt", "").startswith("Capa de celular ") for title in found)


def test_images_of_one_style_share_the_shape(tiny: StoreSummary) -> None:
    """Plain shapes, turned back and scaled to one size, cover the same pixels, whatever the colour was."""
    truth = {each["product_id"]: each for each in read(tiny, "truth/products").to_pylist()}
    groups: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    with zipfile.ZipFile(tiny.folder / "images-00000.zip") as archive:
        assert len(archive.namelist()) == tiny.images
        for name in archive.namelist():
            true = truth[name.removesuffix(".png")]
            with archive.open(name) as file:
                image = Image.open(file)
                assert (image.size, image.mode, image.format) == ((64, 64), "RGB", "PNG")
                pixels = np.asarray(image, dtype=float)
            mask = np.abs(pixels - [247, 245, 241]).max(axis=2) > 6
            groups.setdefault(true["style"], []).append((upright(mask, true), pixels[mask].mean(axis=0)))
    alike, unlike = [], []
    firsts = [members[0] for members in groups.values()]
    for members in groups.values():
        alike += [overlap(members[0][0], mask) for mask, _ in members[1:]]
        colours = np.array([colour for _, colour in members])
        assert colours.std(axis=0).max() > 10, "colours vary within a style"
    for before, after in pairwise(firsts):
        unlike.append(overlap(before[0], after[0]))
    assert np.quantile(alike, 0.05) > 0.8
    assert np.mean(unlike) < 0.75


def upright(mask: np.ndarray, true: dict[str, float]) -> np.ndarray:
    """Sample a mask, (64, 64), on a grid in the shape's own frame."""
    across, up = np.meshgrid(np.linspace(-1.1, 1.1, 45), np.linspace(1.1, -1.1, 45))
    angle = np.deg2rad(true["angle"])
    x = true["x"] + true["scale"] * (np.cos(angle) * across - np.sin(angle) * up)
    y = true["y"] - true["scale"] * (np.sin(angle) * across + np.cos(angle) * up)
    column, row = (np.clip(((axis + 1) * 32).astype(int), 0, 63) for axis in (x, y))
    return np.asarray(mask[row, column])


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_image_urls_name_what_the_archives_hold(tiny: StoreSummary) -> None:
    products = read(tiny, "products")
    with zipfile.ZipFile(tiny.folder / "images-00000.zip") as archive:
        expected = {f"zip://{name}::images-00000.zip" for name in archive.namelist()}
    urls = products["image"].drop_null().to_pylist()
    assert set(urls) == expected
    assert len(urls) == tiny.images
    assert 0 < products["image"].null_count < 0.06 * tiny.products


def test_several_archives_hold_every_image_once(tmp_path: Path) -> None:
    summary = generate(tmp_path / "store", 1_010, seed=1, images=True)
    held = []
    for path in sorted(summary.folder.glob("images-*.zip")):
        with zipfile.ZipFile(path) as archive:
            held += [f"zip://{name}::{path.name}" for name in archive.namelist()]
    products = read(summary, "products")
    assert held == products["image"].drop_null().to_pylist()
    assert {url[6:15] for url in held} < set(products["product_id"].to_pylist())
    assert len({url.split("::")[1] for url in held}) == 3


def test_the_progress_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    generate(tmp_path / "store", "tiny", images=False, progress=told.append)
    assert told == [
        "products: 500 of 500",
        "orders: 1,000 of 1,000",
        "views: 1,000 of 1,000",
    ]


def test_an_unknown_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="'enormous'") as caught:
        generate(tmp_path / "store", "enormous")
    assert "tiny, small, medium, large, huge" in caught.value.hint
    assert not (tmp_path / "store").exists()


def test_what_is_no_store_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(CatalogueError, match="is not a synthetic store"):
        generate(tmp_path, "tiny", images=False)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(message: str) -> None:
        if message.startswith("views"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "store", "tiny", images=False, progress=fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_memory_is_bounded_by_a_batch(tmp_path: Path) -> None:
    """Ten times the products take nearly the same memory."""
    program = (
        "import pathlib, resource, sys; from twinvec.catalogue.synthetic import generate; "
        "generate(pathlib.Path(sys.argv[1]), int(sys.argv[2]), images=False); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    peaks = [
        float(subprocess.check_output([sys.executable, "-c", program, str(tmp_path / str(size)), str(size)]))
        for size in (20_000, 200_000)
    ]
    assert peaks[1] < 1.25 * peaks[0], f"peak memory in MiB: {peaks}"
