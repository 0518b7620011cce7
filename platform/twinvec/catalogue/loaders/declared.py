"""Declarations of Twinvec's own loaders. `pyproject.toml` registers them by name."""

from __future__ import annotations

from twinvec.catalogue.loaders.registered import Loader

AMAZON_2014 = Loader(
    "twinvec.catalogue.loaders.amazon:load_2014",
    "Amazon product metadata of 2014, a Python literal or JSON object a line; a file or a folder of part files",
)
AMAZON_2018 = Loader(
    "twinvec.catalogue.loaders.amazon:load_2018",
    "Amazon product metadata of 2018, a JSON object a line, or Parquet; a file or a folder of part files",
)
AMAZON_2023 = Loader(
    "twinvec.catalogue.loaders.amazon:load_2023",
    "Amazon product metadata of 2023, a JSON object a line, or Parquet; a file or a folder of part files",
)
_ESCI = (
    "Amazon's Shopping Queries: a folder with files of products and examples (Parquet, CSV), or one of both"
)
ESCI = Loader("twinvec.catalogue.loaders.esci:load_large", _ESCI)
ESCI_SMALL = Loader("twinvec.catalogue.loaders.esci:load_small", f"{_ESCI}; its reduced version alone")
FASHION = Loader(
    "twinvec.catalogue.loaders.fashion:load",
    "metadata of fashion-product-images: `styles.csv`, as listings in three levels",
)
ORDERS = Loader(
    "twinvec.catalogue.loaders.orders:load",
    "an order log (CSV or Parquet), or a folder with `orders.*` and perhaps `products.*` and `views.*`",
    columns=(
        "order_id",
        "session_id",
        "product_id",
        "time",
        "quantity",
        "status",
        "title",
        "language",
        "category",
        "price",
        "currency",
        "marketplace",
        "brand",
        "image",
        "family_id",
    ),
)
PARQUET = Loader(
    "twinvec.catalogue.loaders.parquet:load", "a folder of Parquet files with Twinvec's own columns"
)
