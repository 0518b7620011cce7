"""The place of a home: Feast and MLflow keep absolute paths, which are re-based when the home was moved or copied.

The registry's paths are relative, and Qdrant has none. What cannot be relative is written anew, once, before a store is
opened: so a copy never writes into the home that it was copied from. Only what lies in the home is touched: a server,
or a database elsewhere, belongs to whoever runs it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from twinvec import files
from twinvec.errors import StoreError
from twinvec.paths import HomePaths
from twinvec.place import feast_paths, mlflow_paths
from twinvec.settings import Settings

__all__ = ["ensure_place", "former_place", "require_place", "stale_paths"]

log = logging.getLogger(__name__)


def ensure_place(settings: Settings) -> int:
    """Let the stores in the home name the folder where it lies now; return the number of paths that were re-based.

    It costs the reading of one small file if the home has not moved.

    Raises:
        StoreError: If the home was moved, and cannot be written.
    """
    if _recorded(settings.paths) is not None and former_place(settings) is None:
        return 0
    try:
        with files.locked(settings.paths.place.with_name(".place.lock")):
            changed = _rebase(settings, write=True)
            files.write_text(settings.paths.place, f"{settings.home}\n")
    except OSError as error:
        if error.errno not in files.UNWRITABLE:
            raise
        require_place(settings)
        return 0
    if changed:
        log.warning(
            "%s was moved or copied here: %d paths in Feast and MLflow were re-based", settings.home, changed
        )
    return changed


def former_place(settings: Settings) -> Path | None:
    """Return the folder that the stores of the home take it to be, if that is another; None if it is not."""
    recorded = _recorded(settings.paths)
    if recorded is None or recorded == settings.home:
        return None
    try:
        same = recorded.samefile(settings.home)  # by a symbolic link
    except OSError:
        same = False
    return None if same else recorded


def stale_paths(settings: Settings) -> int:
    """Return the number of paths in the stores of the home that lie in another home; nothing is changed."""
    if _recorded(settings.paths) is not None and former_place(settings) is None:
        return 0
    return _rebase(settings, write=False)


def require_place(settings: Settings) -> None:
    """Raise StoreError if stores of the home name another folder, since writing to them would change that one."""
    stale = stale_paths(settings)
    if stale:
        raise StoreError(
            f"{settings.home} was moved or copied from another folder, which {stale} paths in Feast and MLflow name",
            "`twinvec doctor --fix` re-bases them; it has to be run by a user who may write the home",
        )


def _rebase(settings: Settings, write: bool) -> int:
    paths = settings.paths
    changed = 0
    if settings.feast.config is None:
        changed += feast_paths.rebase(paths, write)
    if settings.mlflow.tracking_uri is None:
        changed += mlflow_paths.rebase(paths, write)
    return changed


def _recorded(paths: HomePaths) -> Path | None:
    try:
        return Path(paths.place.read_text(encoding="utf-8").rstrip("\n"))
    except (FileNotFoundError, NotADirectoryError):
        return None
