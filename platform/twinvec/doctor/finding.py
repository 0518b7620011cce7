"""Finding of the doctor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A fault in one store."""

    store: str
    """`settings`, `home`, `registry`, `files`, `Feast`, `MLflow`, `Qdrant` or `releases`."""
    where: str
    """Item, such as `text@v3`, `view text__v3` or a path."""
    what: str
    """Fault, as a sentence without its subject."""
    mend: str
    """Advice for the user: a command, if there is one."""
    fix: Callable[[], object] | None = None
    """Function that `--fix` calls; None if the user has to decide. It loses nothing that cannot be made again."""
