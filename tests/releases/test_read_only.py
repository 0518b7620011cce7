"""Readers only read: a home that this user may not write answers, and stays as it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.homes import copied, relocate
from twinvec.errors import StoreError
from twinvec.vectors import copies

# Root may write anywhere, unless it gives up its capabilities.
UNABLE = ["setpriv", "--bounding-set=-all"] if os.getuid() == 0 else []
COMMANDS = """
import sys
from typer.testing import CliRunner
from pipelines.command import app

for command in sys.argv[1:]:
    result = CliRunner().invoke(app, [*command.split(), "--json"])
    print(result.output if result.exit_code else result.stdout)
    print(result.stderr, file=sys.stderr)
"""
pytestmark = pytest.mark.skipif(
    bool(UNABLE) and shutil.which("setpriv") is None, reason="root, without setpriv to be somebody else by"
)


def read(home: Path, temporary: Path, *commands: str) -> tuple[list[Any], str]:
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(
        [*UNABLE, sys.executable, "-W", "ignore", "-c", COMMANDS, *commands],
        env={**os.environ, "TWINVEC_HOME": str(home), "TMPDIR": str(temporary)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    answers, decoder, text = [], json.JSONDecoder(), done.stdout.strip()
    while text:
        answer, end = decoder.raw_decode(text)
        answers.append(answer)
        text = text[end:].strip()
    return answers, done.stderr


def contents(home: Path) -> dict[Path, tuple[int, str]]:
    return {
        file: (file.stat().st_mtime_ns, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in home.rglob("*")
        if file.is_file()
    }


def test_who_may_not_write_a_home_reads_it(released: Path, tmp_path: Path) -> None:
    home = copied(released, tmp_path / "home")
    relocate(home, released)
    product = pd.read_parquet(home / "versions/text/v1/vectors")["product_id"][0]
    [expected], _ = read(home, tmp_path / "theirs", f"related {product} -k 5")
    entries = [home, *home.rglob("*")]
    rights = {entry: entry.stat().st_mode for entry in entries}
    try:
        for entry in entries:
            entry.chmod(rights[entry] & ~0o222)
        before = contents(home)
        commands = ("status", f"related {product} -k 5", "related nobody --fallback -k 1")
        (status, related, popular), said = read(home, tmp_path / "ours", *commands)
        assert (status["live"], related) == ("related_products__v1", expected)
        assert len(popular["hits"]) == 1
        assert said.count("is copied to") == 1
        [again], said = read(home, tmp_path / "ours", f"related {product} -k 5")
        assert (again, said.strip()) == (expected, "")
        assert contents(home) == before
    finally:
        for entry in entries:
            entry.chmod(rights[entry])
    [folder] = (tmp_path / "ours").iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    assert list((tmp_path / "theirs").iterdir()) == [], "whoever may write makes no copy"


def test_copies_are_of_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = tmp_path / "collection" / "shard"
    shard.mkdir(parents=True)
    (shard / "data").write_bytes(bytes(3 << 20) + b"end" + bytes(1 << 20))
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = copies.openable(shard)
    assert first != shard
    assert (first / "data").read_bytes() == (shard / "data").read_bytes()
    assert copies.openable(shard) == first
    (shard / "data").write_bytes(b"another state")
    assert copies.openable(shard) != first
    first.parent.chmod(0o755)
    with pytest.raises(StoreError, match="not a folder of this user alone"):
        copies.openable(shard)
