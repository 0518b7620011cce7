"""Write a synthetic store as a source folder in Twinvec's own contract, its ground truth beside it.

    products.parquet, orders.parquet, views.parquet     what a shop would have: `twinvec.columns`
    images-00000.zip, …                                 the images that products.parquet names
    catalogue.json                                      says that mined co-purchases have no direction
    listings.parquet                                    if asked for: listings in four stores, `listings`
    offers.parquet, interactions.parquet                if asked for: sellers and customers, `sellers`
    queries.parquet, judgements.parquet,
    query_purchases.parquet                             if asked for: search queries, `searches`
    truth/                                              what it was all drawn from: `truth`

Everything is a function of (size, seed) alone, and every table is written a batch at a time: memory does
not grow with the size of the store.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from twinvec import columns
from twinvec.catalogue.synthetic import sellers as of_sellers
from twinvec.catalogue.synthetic import truth, vocabulary
from twinvec.catalogue.synthetic.batches import batches, numbered
from twinvec.catalogue.synthetic.behaviour import PER_PRODUCT, Lines, baskets, sessions
from twinvec.catalogue.synthetic.images import png, poses_of, render
from twinvec.catalogue.synthetic.layout import Layout, plan, row_order
from twinvec.catalogue.synthetic.listing_tables import small_visits, write_listings
from twinvec.catalogue.synthetic.listings import small_products
from twinvec.catalogue.synthetic.products import Products, products_at
from twinvec.catalogue.synthetic.search_tables import write_searches
from twinvec.catalogue.synthetic.titles import titles
from twinvec.draws import Ints
from twinvec.errors import CatalogueError
from twinvec.files import new_folder

SIZES = {"tiny": 500, "small": 5_000, "medium": 50_000, "large": 1_000_000, "huge": 10_000_000}
"""Products by name of the size."""
_MOST_WITH_IMAGES = SIZES["medium"]
# Products to an archive of images: few, as a reader of a single image reads its archive's whole directory.
_ARCHIVE = 500


@dataclass(frozen=True)
class StoreSummary:
    """Numbers of rows and of images that were written."""

    folder: Path
    seed: int
    products: int
    categories: int
    order_lines: int
    views: int
    complements: int
    substitutes: int
    images: int
    offers: int = 0
    interactions: int = 0
    queries: int = 0
    judgements: int = 0
    query_purchases: int = 0
    listings: int = 0


def generate(
    folder: Path,
    size: str | int = "tiny",
    seed: int = 0,
    images: bool | None = None,
    sellers: bool = False,
    searches: bool = False,
    listings: bool = False,
    progress: Callable[[str], None] = lambda _message: None,
) -> StoreSummary:
    """Generate a store; the same size and seed give the same store.

    Args:
        folder: Is made, whole or not at all; a store that is there already is replaced.
        size: A name of `SIZES` or a number of products, at least 200.
        seed: Any integer.
        images: True to render images; by default only for stores of at most 50,000 products (`medium`).
            Without them the column `image` is null throughout.
        sellers: True to write offers and interactions; all other tables are the same with and without.
        searches: True to write search queries, judgements and purchases after queries; likewise.
        listings: True to write listings in four marketplaces. One of them is small: its own products and its visits
            are added to the other tables, which are otherwise the same.
        progress: Is told now and then what is being written.

    Raises:
        CatalogueError: On an unknown or too small size, or if `folder` holds something else.
    """
    layout = plan(_number(size), seed)
    _refuse_other_folder(folder)
    with_images = layout.size <= _MOST_WITH_IMAGES if images is None else images
    with new_folder(folder) as staging:
        (staging / "truth").mkdir()
        rows = _write_products(staging, layout, with_images, listings, progress)
        behaviour = {
            name: _write(
                staging / f"{name}.parquet",
                schema,
                _behaviour(layout, schema, draw, name, listings, progress),
            )
            for name, schema, draw in (
                ("orders", columns.ORDERS, baskets),
                ("views", columns.VIEWS, sessions),
            )
        }
        offers, interactions = _write_sellers(staging, layout, progress) if sellers else (0, 0)
        searched = write_searches(staging, layout, progress) if searches else {}
        listed = 0
        if listings:
            listed = write_listings(staging, layout, lambda row: _images(layout, row, with_images), progress)
        associations = truth.categories(layout)
        pq.write_table(associations, staging / "truth" / "categories.parquet")
        description = json.dumps({"copurchase_directed": False})
        (staging / "catalogue.json").write_text(description + "\n", encoding="utf-8")
    return StoreSummary(
        folder=folder,
        seed=seed,
        products=rows["products"],
        categories=len(layout.types),
        order_lines=behaviour["orders"],
        views=behaviour["views"],
        complements=rows["complements"],
        substitutes=rows["substitutes"],
        images=rows["images"],
        offers=offers,
        interactions=interactions,
        **searched,
        listings=listed,
    )


def _number(size: str | int) -> int:
    if isinstance(size, int):
        return size
    if size not in SIZES:
        raise CatalogueError(f"no synthetic store is called {size!r}", f"choose one of {', '.join(SIZES)}")
    return SIZES[size]


def _refuse_other_folder(folder: Path) -> None:
    if folder.exists() and not (folder / "truth" / "categories.parquet").is_file():
        if folder.is_dir() and not any(folder.iterdir()):
            return
        raise CatalogueError(
            f"{folder} exists and is not a synthetic store", "name a new folder, or remove this one first"
        )


def _write_products(
    folder: Path, layout: Layout, with_images: bool, listings: bool, progress: Callable[[str], None]
) -> dict[str, int]:
    """Write the tables that have a row or more for each product; count what was written."""
    counts = {"products": layout.size, "complements": 0, "substitutes": 0, "images": 0}
    with (
        pq.ParquetWriter(folder / "products.parquet", columns.PRODUCTS) as products_file,
        pq.ParquetWriter(folder / "truth" / "products.parquet", truth.PRODUCTS) as truth_file,
        pq.ParquetWriter(folder / "truth" / "complements.parquet", truth.COMPLEMENTS) as complements_file,
        pq.ParquetWriter(folder / "truth" / "substitutes.parquet", truth.SUBSTITUTES) as substitutes_file,
    ):
        for row in batches(layout.size):
            batch = products_at(layout, row_order(layout, row))
            poses = poses_of(layout, batch)
            products_file.write_table(_products(layout, batch, row, with_images))
            if listings:
                of_small_store = small_products(layout, batch.index)
                products_file.write_table(of_small_store)
                counts["products"] += len(of_small_store)
            truth_file.write_table(truth.products(layout, batch, poses))
            complements, substitutes = (
                truth.complements(layout, batch.index),
                truth.substitutes(layout, batch.index),
            )
            complements_file.write_table(complements)
            substitutes_file.write_table(substitutes)
            counts["complements"] += len(complements)
            counts["substitutes"] += len(substitutes)
            progress(f"products: {row[-1] + 1:,} of {layout.size:,}")
    if with_images:
        for row in batches(layout.size, _ARCHIVE):
            counts["images"] += _write_images(folder, layout, row)
            progress(f"images: {row[-1] + 1:,} of {layout.size:,}")
    return counts


def _products(layout: Layout, batch: Products, row: Ints, with_images: bool) -> pa.Table:
    markets, kinds = vocabulary.MARKETPLACES, layout.types
    ids = truth.id_array(layout, batch.index)
    paths = pa.array([kind.path for kind in kinds], pa.list_(pa.string()))
    brands = pa.array(vocabulary.BRANDS).take(pa.array(batch.brand, mask=~batch.has_brand))
    columns_in_order = [
        ids,
        titles(layout, batch),
        paths.take(pa.array(batch.places.type)),
        pa.array(batch.price, mask=np.isnan(batch.price)),
        pa.array([market.currency for market in markets]).take(pa.array(batch.home)),
        pa.array([market.name for market in markets]).take(pa.array(batch.home)),
        brands,
        _images(layout, row, with_images),
    ]
    return pa.Table.from_arrays(columns_in_order, schema=columns.PRODUCTS)


def _images(layout: Layout, row: Ints, with_images: bool) -> pa.Array:
    """Return the address of the image of each row of the products table, null where it has none."""
    batch = products_at(layout, row_order(layout, row))
    archives = pa.array([_archive(number) for number in range(row[0] // _ARCHIVE, row[-1] // _ARCHIVE + 1)])
    archive = archives.take(pa.array(row // _ARCHIVE - row[0] // _ARCHIVE))
    ids = truth.id_array(layout, batch.index)
    joined = pa.compute.binary_join_element_wise("zip://", ids, ".png::", archive, "")
    return pa.compute.if_else(pa.array(batch.has_image & with_images), joined, None)


def _write_images(folder: Path, layout: Layout, row: Ints) -> int:
    """Write one archive; return how many images it holds."""
    batch = products_at(layout, row_order(layout, row))
    ids = truth.id_array(layout, batch.index).to_pylist()
    pixels = render(batch, poses_of(layout, batch))
    present = np.flatnonzero(batch.has_image)
    with zipfile.ZipFile(folder / _archive(int(row[0]) // _ARCHIVE), "w", zipfile.ZIP_STORED) as archive:
        for each in present:
            # A ZipInfo of its own has a constant date, so that the same store has the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{ids[each]}.png"), png(pixels[each]))
    return len(present)


def _archive(number: int) -> str:
    return f"images-{number:05d}.zip"


def _behaviour(
    layout: Layout,
    schema: pa.Schema,
    draw: Callable[[Layout, Ints], Lines],
    name: str,
    listings: bool,
    progress: Callable[[str], None],
) -> Iterator[pa.Table]:
    total = PER_PRODUCT * layout.size
    for number in batches(total):
        lines = draw(layout, number)
        owners = truth.string_array(numbered(name[0].upper(), lines.owner))
        times = pa.array(lines.time).cast(pa.timestamp("us", tz="UTC"))
        yield pa.Table.from_arrays([owners, truth.id_array(layout, lines.product), times], schema=schema)
        progress(f"{name}: {number[-1] + 1:,} of {total:,}")
    if listings:
        yield from small_visits(layout, schema, orders=name == "orders")


def _write_sellers(folder: Path, layout: Layout, progress: Callable[[str], None]) -> tuple[int, int]:
    """Write the offers and the interactions; count them."""

    def offered() -> Iterator[pa.Table]:
        for product in batches(layout.size):
            seller, of = of_sellers.offers(layout, product)
            names = truth.string_array(numbered("S", seller))
            yield pa.Table.from_arrays([names, truth.id_array(layout, of)], schema=columns.OFFERS)
            progress(f"offers: {product[-1] + 1:,} of {layout.size:,} products")

    def interacted() -> Iterator[pa.Table]:
        total = 2 * PER_PRODUCT * layout.size
        for number in batches(total):
            customer, of = of_sellers.interactions(layout, number)
            names, ones = truth.string_array(numbered("C", customer)), pa.array(np.ones_like(of))
            table = [names, truth.id_array(layout, of), ones]
            yield pa.Table.from_arrays(table, schema=columns.INTERACTIONS)
            progress(f"interactions: {number[-1] + 1:,} of {total:,} visits")

    return (
        _write(folder / "offers.parquet", columns.OFFERS, offered()),
        _write(folder / "interactions.parquet", columns.INTERACTIONS, interacted()),
    )


def _write(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    rows = 0
    with pq.ParquetWriter(path, schema) as file:
        for table in tables:
            file.write_table(table)
            rows += len(table)
    return rows
