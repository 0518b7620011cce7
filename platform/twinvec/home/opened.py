"""The stores of a home, opened when they are first used, and closed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from twinvec.errors import StateError
from twinvec.plugins import load_reference
from twinvec.progress import Count, Progress
from twinvec.settings import Settings
from twinvec.spaces import served_as
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class OpenHome:
    """The stores of a home, without what can be done with them.

    It is a context manager, which closes the stores. It may be used again after `close`.

    Args:
        workspace: Stores of the home.
        progress: Called with messages during long operations; nothing is reported if not given.
    """

    def __init__(self, workspace: Workspace, progress: Progress | None = None) -> None:
        self.workspace = workspace
        self._progress: Progress = progress or (lambda _message: None)

    @property
    def settings(self) -> Settings:
        """Settings of the home."""
        return self.workspace.settings

    def close(self) -> None:
        """Close the stores; a later use opens them again.

        The DuckDB connection of ibis, through which Feast reads, is closed with them.
        """
        self.workspace.close()
        if "twinvec.features.store" in sys.modules:
            from twinvec.features.store import close_duckdb

            close_duckdb()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"twinvec.open({str(self.settings.home)!r})"

    @property
    def _count(self) -> Count:
        def count(step: str, done: int, total: int) -> None:
            if done >= total:
                self._progress(f"{step}: {total:,}" if total > 1 else step)

        return count

    def _known(self, name: str | None) -> str | None:
        """Return the name of releases, checked against those there are."""
        if name is not None:
            served_as(self.settings, name)
        return name

    def _declared(self, what: str, name: str | None = None) -> Any:
        """Return the function that a served space declares as `what`."""
        space = served_as(self.settings, name or self.settings.release)
        reference = getattr(space.serving, what)
        if reference is None:
            raise StateError(
                f"the space {space.name} declares no `{what}`", "name the releases of another space"
            )
        return load_reference(reference)
