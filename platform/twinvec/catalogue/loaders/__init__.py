"""One module a kind of source. Each gives every table as a query; `LOADERS` names them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from twinvec.catalogue.loaders import amazon, parquet
from twinvec.catalogue.loaders import orders as order_logs
from twinvec.catalogue.loaders.staging import Bench, Staged
from twinvec.errors import CatalogueError

Loader = Callable[[Path, Bench], Staged]

LOADERS: dict[str, Loader] = {
    "amazon-2014": amazon.load_2014,
    "amazon-2018": amazon.load_2018,
    "amazon-2023": amazon.load_2023,
    "orders": order_logs.load,
    "parquet": parquet.load,
}


def find_loader(name: str) -> Loader:
    """The loader of the format `name`.

    Raises:
        CatalogueError: if there is none; the hint names the closest.
    """
    if name in LOADERS:
        return LOADERS[name]
    close = difflib.get_close_matches(name, LOADERS, n=1, cutoff=0.4)
    suggestion = f"did you mean {close[0]!r}? " if close else ""
    raise CatalogueError(f"unknown format {name!r}", f"{suggestion}formats: {', '.join(LOADERS)}")
