"""A registry that may only be read, while its owner goes on writing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import text

from registry import database


def test_a_reader_without_rights_sees_what_the_owner_writes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    owner = database.open_engine(url)
    with owner.begin() as connection:
        connection.execute(text("CREATE TABLE seen (number INTEGER)"))
    owner.dispose()  # the write-ahead log is gone with the last connection
    monkeypatch.setattr(os, "access", lambda *_: False)
    reader = database.open_engine(url)
    monkeypatch.undo()

    def read() -> list[int]:
        monkeypatch.setattr(os, "access", lambda *_: False)
        with reader.connect() as connection:
            numbers = list(connection.scalars(text("SELECT number FROM seen ORDER BY number")))
        monkeypatch.undo()
        return numbers

    assert read() == []
    for number in range(3):
        with owner.begin() as connection:
            connection.execute(text(f"INSERT INTO seen VALUES ({number})"))
        assert read() == list(range(number + 1))
        owner.dispose()
        assert read() == list(range(number + 1))
