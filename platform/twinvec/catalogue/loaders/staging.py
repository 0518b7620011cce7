"""Context and result of a loader, and the Parquet files that text sources are staged in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from twinvec.settings import IngestSettings

BATCH_ROWS = 20_000
BATCH_CHARACTERS = 64 * 1024 * 1024
REPORT_ROWS = 100_000
# Enough of a row to recognise it by.
TEXT_LENGTH = 500

# Beside the columns of its table, every staged row says where it came from and, if it could not be read, why.
PROVENANCE = [pa.field("line", pa.int64()), pa.field("text", pa.string()), pa.field("reason", pa.string())]


@dataclass(frozen=True)
class LoaderContext:
    """Context of a loader.

    Attributes:
        connection: DuckDB connection, with limited memory and its temporary files in `work`.
        work: A folder that is removed after the ingest.
        columns: Our column name → the source's, for sources whose header has other names.
        progress: Called now and then with a message.
        options: Settings of the ingest: how prices, times and missing values are written.
    """

    connection: duckdb.DuckDBPyConnection
    work: Path
    columns: Mapping[str, str]
    progress: Callable[[str], None]
    options: IngestSettings = field(default_factory=IngestSettings)


@dataclass(frozen=True)
class StagedTables:
    """Tables of a source, ready to be checked.

    Attributes:
        queries: Table → SQL that gives its columns and `line`, `text`, `reason`. A query may name the table
            `known` (`product_id`, `line` of every product that was admitted), but that of `products`. The text of
            a search query is its row's `text`, too.
        directed: True if the co-purchase pairs have a direction.
        image_root: Folder or URL that relative image paths start at.
        unread: Columns or keys of the source that nothing was read from.
        warnings: Sentences for the user about what the source looks like.
        edition: Format that the source was told to be of, where a loader can tell.
        open_pairs: True if most pairs of such a source point out of its catalogue, as Amazon's lists do.

    A query may have two more columns: `lost` (VARCHAR[]), values of the row that could not be used, and `digest`, by
    which two rows are told to be copies.
    """

    queries: dict[str, str]
    directed: bool
    image_root: str | None = None
    unread: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    edition: str | None = None
    open_pairs: bool = False


@dataclass
class StagingFile:
    """A Parquet file that rows are appended to in batches, in bounded memory."""

    path: Path
    schema: pa.Schema
    progress: Callable[[str], None]
    _rows: list[Sequence[Any]] = field(default_factory=list)
    _characters: int = 0
    _written: int = 0

    def __enter__(self) -> Self:
        """Open the file."""
        self._writer = pq.ParquetWriter(self.path, self.schema, compression="zstd")
        return self

    def append(self, row: Sequence[Any], characters: int) -> None:
        """Add `row`, its values in the schema's order; `characters` is about how much memory it takes."""
        self._rows.append(row)
        self._characters += characters
        if len(self._rows) >= BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(values, f.type) for values, f in zip(columns, self.schema, strict=True)]
            self._writer.write_batch(pa.record_batch(arrays, schema=self.schema))
            before = self._written
            self._written += len(self._rows)
            if before // REPORT_ROWS != self._written // REPORT_ROWS:
                self.progress(f"read {self._written:,} rows")
        self._rows, self._characters = [], 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left and close the file."""
        if kind is None:
            self._flush()
        self._writer.close()
