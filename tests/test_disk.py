"""A full disk is named as such, by whichever library it is met, and nothing is half-written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.command.app import explain
from twinvec.disk import is_full
from twinvec.errors import CatalogueError, StoreError

ROOT = Path(__file__).parents[1]
WORDS = [
    OSError(28, "No space left on device"),
    OSError(122, "Disk quota exceeded"),
    OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),  # Arrow
    RuntimeError("Service internal error: No space left on device (os error 28)"),  # Edge
    RuntimeError("(sqlite3.OperationalError) database or disk is full"),
    RuntimeError('IO Error: Could not write file "x": No space left on device'),  # DuckDB
    RuntimeError("Out of Memory Error: failed to offload data block of size 256.0 KiB"),
    OSError("12 requested and 0 written"),  # NumPy
]


@pytest.mark.parametrize("error", WORDS, ids=str)
def test_each_library_has_words_of_its_own(error: Exception) -> None:
    wrapped = CatalogueError("the shop cannot be read", "mend it")
    wrapped.__cause__ = RuntimeError("another")
    wrapped.__cause__.__context__ = error
    for each in (error, wrapped):
        assert is_full(each)
        said = explain(each)
        assert said is not None
        assert said.startswith("the disk is full: ")
        assert "free space" in said
        assert "mend it" not in said


@pytest.mark.parametrize(
    "error",
    [OSError(13, "Permission denied"), StoreError("it has 28 points"), ValueError("x is full")],
    ids=str,
)
def test_other_errors_are_no_full_disk(error: Exception) -> None:
    error.__context__ = error  # a chain that never ends
    assert not is_full(error)


# Edge, DuckDB, SQLite, Arrow and NumPy, and stages that use several, each on the disk that is full, in one process.
SCRIPT = """
import json, os, sys
from pathlib import Path
from uuid import UUID
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import twinvec
from pipelines.command.app import explain
from pipelines.encoding.disk_matrix import disk_matrix
from registry.database import transaction
from registry.models import Alias
from twinvec import files
from twinvec.catalogue.ingest import ingest
from twinvec.features.scalars import write_scalars
from twinvec.vectors.index import CollectionConfig
from twinvec.vectors.points import PointBatch

disk = Path(sys.argv[1])
home = twinvec.open(disk / "home")
settings, engine = home.settings, home.workspace.engine
snapshot = ingest(sys.argv[2], "orders", settings, engine).snapshot
index, config = home.workspace.index, CollectionConfig(8, 16, 100, 10, {})
index.create("vectors__v1", config)
rows = np.ones((3, 8), np.float32)
points = PointBatch([str(UUID(int=place)) for place in range(3)], rows, rows, [{"product_id": "p"}] * 3)
ids = pq.read_table(snapshot.table("products"))["product_id"]
vectors = {f"{role}_vector": list(np.eye(len(ids), 8, dtype=np.float32) + 1) for role in ("source", "target")}
version = home.import_vectors("related", pa.table({"product_id": ids, **vectors}))
noise = np.random.default_rng(1).random((400_000, 1))
with open(disk / "filling", "wb") as filling:
    free = os.statvfs(disk)
    os.posix_fallocate(filling.fileno(), 0, free.f_bavail * free.f_frsize)
before = {str(each) for each in (disk / "home").rglob("*")}

def aliases():
    with transaction(home.workspace.engine) as session:
        session.add_all(Alias(name=f"n{place}", collection="x" * 2_000) for place in range(200))

def folder():
    with files.new_folder(disk / "home" / "folder") as new:
        np.save(new / "noise.npy", noise)

tries = {
    "ingest": lambda: ingest(sys.argv[3], "orders", settings, engine),
    "sqlite": aliases,
    "duckdb": lambda: write_scalars(snapshot.table("products"), disk / "home" / "scalars", snapshot.created_at),
    "arrow": lambda: files.write_bytes(disk / "home" / "text", bytes(4_000_000)),
    "numpy": folder,
    "matrix": lambda: disk_matrix(disk / "home", 1_000, 1_000),
    "train": lambda: home.train("graph"),
    "publish": lambda: home.publish(version.name),
    "edge upload": lambda: index.insert("vectors__v1", points),
    "edge create": lambda: index.create("vectors__v2", config),
}
said = {}
for name, attempt in tries.items():
    try:
        attempt()
        said[name] = None
    except Exception as error:
        said[name] = explain(error)
locks = (".locks", "releases")
left = {str(each) for each in (disk / "home").rglob("*") if not set(locks) & set(each.parts)} - before
print(json.dumps({"said": said, "left": sorted(left)}), flush=True)
os._exit(0)  # what Edge would write at its end has no room either
"""


def test_every_store_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=160m none "{disk}"'
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-m", "sh", "-c", mount], check=False, capture_output=True).returncode
    ):
        pytest.skip("no right to mount a small disk")
    for name, products in (("small", 20), ("large", 2_000)):
        rows = [f"{number // 2},p{number}" for number in range(products)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["order_id,product_id", *rows]) + "\n")
    command = (
        f'{mount} && exec "{sys.executable}" -c "$0" "{disk}" "{tmp_path}/small.csv" "{tmp_path}/large.csv"'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command, SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr  # -7 would be SIGBUS
    told = json.loads(done.stdout.splitlines()[-1])
    for store, said in told["said"].items():
        assert said is not None, f"{store} wrote to a full disk"
        assert said.startswith("the disk is full: "), f"{store}: {said}"
        assert "free space" in said
        assert "drop" not in said
    assert told["left"] == []
