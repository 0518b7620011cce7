"""Reports of progress: functions that a long operation calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str], None]
"""Called with a message about what is being done."""

Count: TypeAlias = Callable[[str, int, int], None]
"""Called with a step such as `upload`, how much of it is done, and how much there is to do."""


def silent(step: str, done: int, total: int) -> None:
    """Report nothing."""
