"""Maps: places of a version's products on a plane, with what they are coloured by, in a file beside the vectors.

The table has a row for each product, sorted by its id:

| column | contents |
| --- | --- |
| `product_id`, `title`, `image` | strings; the last two may be null |
| `<role>_x`, `<role>_y` | places by each vector column, `source` and `target` for related products; float32 in −1…1 |
| `category`, `marketplace` | dictionaries of strings, the most frequent first; `category` is the first level |
| `price` | float32, null if unknown |
| `popularity` | float32: times bought together with another product |
| `cold` | bool: neither bought nor viewed together with another |
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from twinvec.errors import NotFoundError, StoreError
from twinvec.files import new_file

FILE = "map.arrow"
X, Y = "_x", "_y"
GROUPS = ("category", "marketplace")
NUMBERS = ("price", "popularity")
FLAGS = ("cold",)


def write_map(folder: Path, table: pa.Table) -> None:
    """Write the map of a version into its folder; the file appears whole or not at all."""
    with (
        new_file(folder / FILE) as staging,
        pa.OSFile(str(staging), "wb") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table.combine_chunks())


def open_map(folder: Path, version: str) -> pa.Table:
    """Open the map of a version; the file is mapped, not read.

    Args:
        folder: Folder of the version.
        version: Name of the version, for the messages.

    Raises:
        NotFoundError: If nobody has drawn it yet.
        StoreError: If it cannot be read.
    """
    file = folder / FILE
    if not file.is_file():
        raise NotFoundError(f"{version} has no map yet", f"`twinvec plot {version}` makes it")
    try:
        return pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"the map in {file} cannot be read: {error}", f"`twinvec plot {version} --again` makes it anew"
        ) from error


def roles_of(table: pa.Table) -> list[str]:
    """Return the vectors that a map has places by, as `source` and `target`."""
    return [name.removesuffix(X) for name in table.column_names if name.endswith(X)]
