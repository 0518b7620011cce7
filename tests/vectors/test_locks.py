"""Readers of a lock write nothing, and need no right to."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from twinvec.errors import StoreError
from twinvec.vectors.locks import take_lock


def test_a_lock_does_not_grow(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    for _ in range(20):
        take_lock(file, "it", exclusive=True).close()
        take_lock(file, "it", exclusive=False).close()
    assert len(file.read_text().splitlines()) == 1


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_reader_needs_no_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    there, nowhere = tmp_path / "lock", tmp_path / "no folder" / "lock"
    take_lock(there, "it", exclusive=True).close()
    original = Path.open

    def refuses(self: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "a":
            raise OSError(code, "no right to write", str(self))
        return original(self, mode, **options)

    monkeypatch.setattr(Path, "open", refuses)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    take_lock(nowhere, "it", exclusive=False).close()
    reading = take_lock(there, "it", exclusive=False)
    with pytest.raises(OSError, match="no right"):
        take_lock(there, "it", exclusive=True)
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"read or written by this process"):
        take_lock(there, "it", exclusive=True)
    reading.close()
