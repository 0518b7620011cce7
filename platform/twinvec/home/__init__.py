"""A home as a Python object: what the command does, in a script or a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinvec.access import make_home
from twinvec.errors import StateError
from twinvec.home.reading import ReadableHome
from twinvec.plugins import load_reference
from twinvec.progress import Progress
from twinvec.settings import load_settings
from twinvec.spaces import find_space, served_as
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from registry.models import Release, Version
    from twinvec.catalogue.ingest import IngestReport
    from twinvec.catalogue.transfers import Transfer
    from twinvec.dag import Step
    from twinvec.releases.refresh import Refreshed


def open_home(path: str | Path | None = None, progress: Progress | None = None, **settings: Any) -> Home:
    """Open a home, which is made if it is not there; `twinvec.open` is this function.

    Args:
        path: Folder of the home; the one that the settings name if not given, `.twinvec` by default.
        progress: Called with messages during long operations, such as `print`.
        settings: Values that win over the environment and `twinvec.toml`, by group.

    Raises:
        SettingsError: If a setting cannot be used, or the folder cannot be made.

    Example:
        >>> import twinvec
        >>> shop = twinvec.open("shop", device="cpu")
        >>> shop.settings.device
        'cpu'
    """
    named = {"home": path} if path is not None else {}
    loaded = load_settings(**named, **settings)
    make_home(loaded)
    return Home(Workspace(loaded), progress)


class Home(ReadableHome):
    """A catalogue and everything that was made from it: snapshots, versions, releases.

    It is a context manager, which closes the stores. It may be used again after `close`.

    Args:
        workspace: Stores of the home.
        progress: Called with messages during long operations; nothing is reported if not given.

    Example:
        >>> answer = home.related("T04V96VMH", k=3)
        >>> len(answer.hits)
        3
    """

    def ingest(
        self,
        source: str | Path,
        format: str = "parquet",  # noqa: A002 - as the command
        as_of: str | date | datetime | None = None,
    ) -> IngestReport:
        """Make a snapshot of a catalogue and its behaviour logs.

        Args:
            source: File or folder, as the format requires.
            format: Name of a loader, such as `parquet`, `orders` or `amazon-2023`.
            as_of: Time that the data are of: the `event_timestamp` of their features. A time without a zone is UTC; a
                day is its first moment. The present if not given.

        Returns:
            The snapshot, the rows that were read, and the rows that were refused. `new` is False if a snapshot of
            these contents was there already.

        Raises:
            NotFoundError: If there is no such source.
            CatalogueError: If it cannot be read, breaks its contract too often, or is said to be of the future.
            RegistryError: If another snapshot is of that time, or features of this one have a later time.

        Example:
            >>> report = home.ingest("catalogue", format="parquet")
            >>> report.rows["products"], report.new
            (200, False)
        """
        from twinvec.ingesting import ingest_into

        return ingest_into(self.workspace, Path(source), format, as_of, self._progress)

    def run(self, snapshot: str | None = None, force: bool = False) -> Refreshed:
        """Run every stage that is out of date, then publish and promote related products that are new.

        Args:
            snapshot: Snapshot to start from; the latest if not given.
            force: Make new versions even if nothing changed.

        Returns:
            The result of each stage and the live release. `refused` is the error of the gates if they kept the new
            release from going live.

        Raises:
            NotFoundError: If there is no snapshot, or it gives no related products.

        Example:
            >>> result = home.run()
            >>> [(step.space, step.reason) for step in result.steps if step.space == "related"]
            [('related', 'up to date')]
            >>> result.live.label
            'related_products@v1'
        """
        from twinvec.releases.refresh import refresh

        return refresh(self.workspace, self.workspace.snapshot(snapshot), force, self._progress, self._count)

    def train(
        self, space: str, inputs: Iterable[str] = (), snapshot: str | None = None, force: bool = False
    ) -> list[Step]:
        """Train one space, and what it needs if that is out of date; nothing is published.

        Args:
            space: Name of the space, such as `related`.
            inputs: Versions to take as inputs in place of the latest, such as `text@v3`.
            snapshot: Snapshot to start from; the latest if not given.
            force: Make a new version even if nothing changed.

        Returns:
            The result of each stage that was looked at.

        Raises:
            NotFoundError: If there is no such space or version.
            StateError: If an input was made from another snapshot.

        Example:
            >>> [(step.space, step.version.name) for step in home.train("graph")]
            [('category', 'category@v1'), ('graph', 'graph@v1')]
        """
        from twinvec import dag

        chosen = {version.space: version for version in map(self.workspace.version, inputs)}
        opened = self.workspace.snapshot(snapshot)
        return dag.run(self.workspace, opened, {space}, force, self._progress, chosen)

    def transfer(
        self,
        stores: Iterable[str],
        to: str,
        threshold: float | None = None,
        k: int = 3,
        established: int = 5,
    ) -> Transfer:
        """Lend the behaviour of established products to like ones that have little, by the live release of `similar`.

        Args:
            stores: Marketplaces that lend; `to` itself lends to its own new products.
            to: Marketplace whose products with few events borrow.
            threshold: Least cosine of a lender; the bound of substitutes that the live version found if not given.
            k: Most lenders of a product.
            established: Least number of orders and views of a lender; products with fewer borrow.

        Returns:
            Counts, and the name for `graph.transferred`.

        Raises:
            StateError: If no release of `similar` is live.
            NotFoundError: If a marketplace has no listing.
            CatalogueError: If no product borrows, or none has a lender; nothing is written.
        """
        reference = find_space("similar").transfer
        if reference is None:
            raise StateError("the space similar lends no behaviour", "install the package that declares it")
        made: Transfer = load_reference(reference)(
            self.workspace, list(stores), to, threshold, k, established, self._progress
        )
        return made

    def import_vectors(
        self,
        space: str,
        source: str | Path | pa.Table | pd.DataFrame | Mapping[str, Any],
        inputs: Iterable[str] = (),
        note: str = "",
        snapshot: str | None = None,
    ) -> Version:
        """Make a version of a space from vectors that were made elsewhere.

        A version of a space of content, such as `text`, takes the place of the space's own in `run` while it is the
        newest. One of a served space can be published and promoted.

        Args:
            space: Name of the space.
            source: Parquet file or table with the key column, such as `product_id`, and the vector columns of the
                space. Where the space has one, any column of lists is taken.
            inputs: Versions that the vectors belong to, such as `aligned@v1` for `related`: products that are not in
                the catalogue are then placed by it.
            note: Free text that is kept with the run, such as the name of the model.
            snapshot: Snapshot whose products have these vectors; the latest if not given.

        Returns:
            The version. `metrics` tells how many products have a vector, and how many have none.

        Raises:
            NotFoundError: If there is no such space, file or version.
            CatalogueError: If the table does not fit the space, or names unknown products.

        Example:
            >>> import numpy as np
            >>> table = {"product_id": ["T04V96VMH", "T0EB0Z1K8"], "clip": np.eye(2, 8, dtype=np.float32)}
            >>> version = home.import_vectors("image", table, note="our own CLIP")
            >>> version.name, version.metrics
            ('image@v1', {'with_vector': 2, 'without_vector': 198})
        """
        from twinvec.exchange import import_vectors

        versions = [self.workspace.version(name) for name in inputs]
        return import_vectors(self.workspace, space, source, versions, note, snapshot, self._progress)

    def publish(self, version: str | None = None, name: str | None = None) -> Release:
        """Put a version's vectors into a new collection and verify it; nothing goes live.

        Args:
            version: Version of a space that is released; the latest of the releases' space if not given.
            name: Name of the releases; that of related products if not given.

        Raises:
            StateError: If versions of this space are not released, or not under this name.
            VerificationError: If the collection does not answer as the vectors say.

        Example:
            >>> home.publish("related@v1").label  # a whole release of this version is there already
            'related_products@v1'
        """
        from twinvec import releases

        releases.settle(self.workspace)
        space = served_as(self.settings, name or self.settings.release)
        chosen = self.workspace.version(version or space.name)
        if name is not None and chosen.space != space.name:
            raise StateError(
                f"{chosen.name} is no version of {space.name}, which {name} releases",
                f"name one of {space.name}, or leave `name` out",
            )
        return releases.publish(self.workspace, chosen, self._count)

    def promote(
        self, release: str | None = None, name: str | None = None, why: str = "promoted", force: bool = False
    ) -> Release:
        """Make a release live everywhere at once: features, models and vectors.

        Args:
            release: Release, as `related_products@v7`, `v7` or `7`; the newest that is ready if not given.
            name: Name of the releases; that of related products if not given.
            why: Reason that is kept with the release's history.
            force: Promote it even if gates refuse it.

        Raises:
            GateError: If it falls short of the live one by more than `gates` of the settings allow.
            NotFoundError: If there is no such release.

        Example:
            >>> str(home.promote("v1").state)
            'live'
        """
        from twinvec import releases

        releases.settle(self.workspace)
        if release is not None:
            chosen = releases.find(self.workspace, release, name)
        else:
            chosen = releases.waiting(self.workspace, self._known(name))
        return releases.promote(self.workspace, chosen, self._count, why, force=force)

    def rollback(self, name: str | None = None, why: str | None = None) -> Release:
        """Make the release live again that was live before this one.

        Args:
            name: Name of the releases; that of related products if not given.
            why: Reason that is kept with the release's history.

        Raises:
            StateError: If none was live before.
        """
        from twinvec import releases

        releases.settle(self.workspace)
        return releases.rollback(self.workspace, self._count, why, self._known(name))
