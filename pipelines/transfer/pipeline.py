"""A transfer: products are mapped by the live release of `similar`, and the pairs that they borrow are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.transfer.lending import lend
from pipelines.transfer.mapping import choose_targets, count_events, map_products
from twinvec import digest, releases
from twinvec.catalogue.snapshot import open_snapshot, quoted
from twinvec.catalogue.transfers import LENT_FILE, MAPPING_FILE, RECORD_FILE, Transfer
from twinvec.errors import CatalogueError, StateError
from twinvec.files import new_folder, write_text
from twinvec.progress import Progress
from twinvec.spaces import find_space, release_name
from twinvec.workspace import Workspace

SPACE = "similar"
LENDERS, ESTABLISHED = 3, 5


def transfer(
    workspace: Workspace,
    stores: Sequence[str],
    to: str,
    threshold: float | None = None,
    k: int = LENDERS,
    established: int = ESTABLISHED,
    progress: Progress = lambda _message: None,
) -> Transfer:
    """Lend the behaviour of established products of `stores` to products of `to` that have little.

    Args:
        workspace: Stores.
        stores: Marketplaces that lend; `to` itself lends to its own new products.
        to: Marketplace that borrows.
        threshold: Least cosine of a lender; by default the bound of substitutes that the live version found.
        k: Most lenders of a product.
        established: Least number of orders and views of a lender; products with fewer borrow.
        progress: Called with messages.

    Raises:
        StateError: If no release of `similar` is live, or it has no bound and none is given.
        NotFoundError: If a marketplace has no listing.
        CatalogueError: If no product borrows, or none has a lender; nothing is written.
    """
    name = release_name(find_space(SPACE), workspace.settings)
    live = releases.live(workspace, name)
    if live is None:
        raise StateError(
            f"no release of {name} is live, which maps the products",
            f"`twinvec train {SPACE}`, `twinvec publish {SPACE}` and `twinvec promote --release {name}` make one",
        )
    least = threshold if threshold is not None else (live.version.metrics or {}).get("substitute_from")
    if least is None:
        raise StateError(f"{live.version.name} has no bound of substitutes", "give --threshold")
    snapshot = open_snapshot(Path(live.version.snapshot.path))
    given: dict[str, Any] = {
        "snapshot": snapshot.id,
        "release": live.collection,
        "stores": tuple(dict.fromkeys(stores)),
        "to": to,
        "threshold": float(least),
        "k": k,
        "established": established,
    }
    with snapshot.connect(workspace.settings.ingest.memory_limit) as connection:
        count_events(connection, list(snapshot.tables), established)
        products = choose_targets(connection, stores, to, established)
        progress(f"{products:,} products of {to} have fewer than {established} events")
        mapped = map_products(connection, workspace.index, live.collection, stores, to, k, float(least))
        if not mapped:
            raise CatalogueError(
                f"none of {products:,} products of {to} is like an established one of {', '.join(stores)}, "
                f"with a cosine of at least {least:.3f}; nothing was written",
                "lower --threshold or --established, or name more stores",
            )
        counts = lend(connection, to)
        ((lenders,),) = connection.execute("SELECT count(DISTINCT lender) FROM mapping").fetchall()
        made = Transfer(
            name=digest.of_json({**given, "version": live.version.digest}),
            **given,
            products=products,
            mapped=mapped,
            lenders=lenders,
            copurchase=counts["copurchase"],
            coview=counts["coview"],
            unsold=counts["unsold"],
        )
        with new_folder(workspace.settings.paths.transfers / made.name) as folder:
            for table, file in (("lent", LENT_FILE), ("mapping", MAPPING_FILE)):
                connection.execute(
                    f"COPY {table} TO {quoted(folder / file)} (FORMAT parquet, COMPRESSION zstd)"
                )
            write_text(folder / RECORD_FILE, json.dumps(asdict(made), indent=2) + "\n")
    return made
