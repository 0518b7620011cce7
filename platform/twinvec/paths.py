"""Paths of all files and folders that Twinvec keeps in a home."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HomePaths:
    """Paths in one home; `Settings.paths` gives those of the configured home.

    Nothing is created here: a path may name a file that does not exist yet.

    Attributes:
        home: The folder itself, absolute.
    """

    home: Path

    def below(self, relative: str | Path) -> Path:
        """Path that is `relative` to the home, such as one that lay in the home when it was elsewhere."""
        return self.home / relative

    @property
    def registry(self) -> Path:
        """SQLite file of the registry, if `registry.url` is not set."""
        return self.home / "registry.db"

    @property
    def mlflow(self) -> Path:
        """SQLite file of MLflow's tracking store, if `mlflow.tracking_uri` is not set."""
        return self.home / "mlflow.db"

    @property
    def events(self) -> Path:
        """Events of visitors as Parquet files, if `serving.events.folder` is not set."""
        return self.home / "events"

    @property
    def api_keys(self) -> Path:
        """Digests of the keys of the HTTP API, if `serving.keys_file` is not set."""
        return self.home / "api_keys.json"

    @property
    def mlartifacts(self) -> Path:
        """Artifacts of runs and models, a folder for each space."""
        return self.home / "mlartifacts"

    @property
    def snapshots(self) -> Path:
        """Snapshots of catalogues, a folder each."""
        return self.home / "snapshots"

    @property
    def versions(self) -> Path:
        """Embedding versions, a folder for each space."""
        return self.home / "versions"

    @property
    def transfers(self) -> Path:
        """Behaviour that established products lend, a folder for each transfer."""
        return self.home / "transfers"

    def version(self, space: str, number: int | str) -> Path:
        """Folder of one embedding version: its vectors and its manifest."""
        return self.versions / space / f"v{number}"

    def product_scalars(self, snapshot_id: str) -> Path:
        """Folder of a snapshot's scalars (title, price, …) as features."""
        return self.versions / "products" / snapshot_id

    @property
    def products_history(self) -> Path:
        """Scalars of all snapshots, a file for each time that a snapshot is of."""
        return self.versions / "products_history"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of training that has not ended, a folder for each version to be."""
        return self.home / "checkpoints"

    @property
    def qdrant(self) -> Path:
        """Collections of Qdrant Edge, a folder each, if `qdrant.url` is not set."""
        return self.home / "qdrant"

    @property
    def feast(self) -> Path:
        """Feast's own SQLite files."""
        return self.home / "feast"

    @property
    def feast_registry(self) -> Path:
        """Feast's registry, if no other configuration of Feast is set."""
        return self.feast / "registry.db"

    @property
    def feature_store(self) -> Path:
        """Feast's configuration, for a process without Twinvec."""
        return self.home / "feature_store.yaml"

    @property
    def definitions(self) -> Path:
        """Definitions of Feast's objects, for `feast apply` in the home."""
        return self.home / "definitions.py"

    @property
    def feast_ignore(self) -> Path:
        """Folders in which `feast apply` looks for no definitions."""
        return self.home / ".feastignore"

    @property
    def place(self) -> Path:
        """File that names the folder which the stores of the home take it to be."""
        return self.home / ".place"

    @property
    def feature_store_asof(self) -> Path:
        """The same configuration with Twinvec's offline store."""
        return self.home / "feature_store.asof.yaml"

    @property
    def releases(self) -> Path:
        """Lock files of releases."""
        return self.home / "releases"

    def publish_lock(self, release: str) -> Path:
        """File that a process locks while it publishes a release of this name."""
        return self.releases / f".{release}.publish"

    def update_lock(self, release: str) -> Path:
        """File that a process locks while it updates the releases of this name."""
        return self.releases / f".{release}.update"

    @property
    def images(self) -> Path:
        """Remote images fetched so far, if `image.cache` is not set."""
        return self.home / "images"

    @property
    def demo(self) -> Path:
        """Synthetic stores of `twinvec demo`."""
        return self.home / "demo"

    @property
    def ablations(self) -> Path:
        """A home of its own for the versions that ablations make."""
        return self.home / "ablations"

    @property
    def orphans(self) -> Path:
        """Folders that `twinvec doctor --fix` moved aside because no row names them."""
        return self.home / "orphans"

    @property
    def spill(self) -> Path:
        """Temporary files of DuckDB."""
        return self.home / ".spill"
