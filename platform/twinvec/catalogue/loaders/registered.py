"""The loaders that are installed, read from the entry points `twinvec.loaders`.

A package adds a format by an entry point that names its declaration, a `Loader`:

    [project.entry-points."twinvec.loaders"]
    toy = "toy_loader.declaration:TOY"
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twinvec.errors import CatalogueError, PluginError, suggestion
from twinvec.plugins import load_plugin, load_reference, plugins

if TYPE_CHECKING:
    from twinvec.catalogue.loaders.staging import LoaderContext, StagedTables

GROUP = "twinvec.loaders"


@dataclass(frozen=True)
class Loader:
    """Declaration of a format that `twinvec ingest --format NAME` reads; the entry point has the name.

    Attributes:
        function: `"package.module:function"` of `(source: Path, context: LoaderContext) -> StagedTables`. It is
            imported when it is called, so that a declaration is cheap to read.
        reads: What the source is, for `twinvec ingest --help`.
        columns: Columns whose names in the source the setting `ingest.columns` may give.
    """

    function: str
    reads: str
    columns: tuple[str, ...] = ()

    def load(self, source: Path, context: LoaderContext) -> StagedTables:
        """Stage the tables of `source`.

        Raises:
            CatalogueError: If the source cannot be read.
        """
        function: Callable[[Path, LoaderContext], StagedTables] = load_reference(self.function)
        return function(source, context)


def loader_names() -> list[str]:
    """Return the names of all formats, sorted; no loader is imported."""
    return list(plugins(GROUP))


def find_loader(name: str) -> Loader:
    """Return the loader of the format `name`.

    Raises:
        CatalogueError: If there is none; the hint names the closest.
        PluginError: If its declaration cannot be used.
    """
    point = plugins(GROUP).get(name)
    if point is None:
        raise CatalogueError(f"unknown format {name!r}", suggestion(name, loader_names()))
    loader = load_plugin(point)
    if not isinstance(loader, Loader):
        raise PluginError(
            f"{point.value}, registered as the format {name!r}, is no loader",
            "register a twinvec.catalogue.loaders.Loader",
        )
    return loader


def source_columns() -> dict[str, tuple[str, ...]]:
    """Return format → columns that `ingest.columns` may give names of, for the formats that have any.

    A declaration that cannot be used is passed over here: an ingest of its format says what is wrong with it.
    """
    columns = {}
    for name in loader_names():
        with suppress(PluginError):
            columns[name] = find_loader(name).columns
    return {name: names for name, names in columns.items() if names}
