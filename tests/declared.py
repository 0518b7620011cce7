"""Spaces that are declared for a while, in place of the installed ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint

import pytest

from twinvec.features import definitions
from twinvec.spaces import Space, registered


@contextmanager
def declared(spaces: Iterable[Space]) -> Iterator[None]:
    """Let these be the spaces that are installed while the block lasts."""
    by_name = {space.name: space for space in spaces}
    points = {name: EntryPoint(name, "", registered.GROUP) for name in by_name}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registered, "plugins", lambda _group: points)
        patch.setattr(registered, "load_plugin", lambda point: by_name[point.name])
        _forget()
        yield
    _forget()


def _forget() -> None:
    registered.spaces.cache_clear()
    definitions.entities.cache_clear()
