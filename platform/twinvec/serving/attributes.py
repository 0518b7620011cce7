"""Attributes of products that change more often than releases, such as the stock: a file, read when it changes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twinvec.columns import PRODUCT_ID
from twinvec.errors import StoreError

NOTHING: Mapping[str, Any] = {}


@dataclass
class AttributeFile:
    """Attributes by product, of a CSV or Parquet file with a column `product_id` and any others.

    It is replaced by a rename while the server runs. All of it is in memory: some 300 bytes a product and column.

    Args:
        file: File; None for no attributes.
    """

    file: Path | None = None
    _signature: tuple[int, int, int] | None = field(default=None, init=False, repr=False)
    _rows: dict[str, dict[str, Any]] = field(default_factory=dict, init=False, repr=False)
    _names: tuple[str, ...] = field(default=(), init=False, repr=False)
    _mutex: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def of(self, product_id: str) -> Mapping[str, Any]:
        """Return the attributes of a product as they were when `refresh` was last called; none if it has none."""
        return self._rows.get(product_id, NOTHING)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes, as they were when `refresh` was last called."""
        return self._names

    def refresh(self) -> None:
        """Read the file again if it was replaced.

        Raises:
            StoreError: If it cannot be read; what was read before stays.
        """
        if self.file is None:
            return
        try:
            status = self.file.stat()
        except OSError as error:
            raise StoreError(
                f"serving.attributes names {self.file}, which cannot be read: {error.strerror}",
                "write it anew: a table with the column product_id",
            ) from error
        signature = status.st_ino, status.st_mtime_ns, status.st_size
        if signature == self._signature:
            return
        with self._mutex:
            if signature != self._signature:
                self._names, self._rows = _read(self.file)
                self._signature = signature

    @property
    def version(self) -> str:
        """Short text that is another when the contents are."""
        return "-".join(f"{part:x}" for part in self._signature) if self._signature is not None else ""


def _read(file: Path) -> tuple[tuple[str, ...], dict[str, dict[str, Any]]]:
    import duckdb

    from twinvec.catalogue.snapshot import quoted

    reader = "read_csv" if file.suffix.lower() in (".csv", ".tsv") else "read_parquet"
    try:
        with duckdb.connect() as connection:
            table = connection.sql(f"SELECT * FROM {reader}({quoted(file)})").to_arrow_table()
    except duckdb.Error as error:
        raise StoreError(
            f"the attributes in {file} cannot be read: {str(error).splitlines()[0]}",
            "write a CSV or Parquet file",
        ) from error
    if PRODUCT_ID not in table.column_names:
        raise StoreError(
            f"{file} has no column {PRODUCT_ID}",
            f"it has {', '.join(table.column_names)}; name one {PRODUCT_ID}",
        )
    ids = [str(value) for value in table[PRODUCT_ID].to_pylist()]
    table = table.drop_columns([PRODUCT_ID])
    return tuple(table.column_names), dict(zip(ids, table.to_pylist(), strict=True))
