"""What a check found to be wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    store: str
    """`settings`, `registry`, `files`, `Feast`, `MLflow`, `Qdrant` or `releases`."""
    where: str
    """The thing, such as `text@v3`, `view text__v3` or a path."""
    what: str
    """What is wrong with it, in a sentence without its subject."""
    mend: str
    """What the user can do about it: a command, if there is one."""
    fix: Callable[[], object] | None = None
    """What `--fix` does; None if that is for the user to decide. It loses nothing that cannot be made again."""
