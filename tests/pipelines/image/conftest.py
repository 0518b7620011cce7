import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.catalogue.synthetic import generate
from twinvec.columns import PRODUCTS
from twinvec.settings import load_settings
from twinvec.workspace import Workspace


def encoded(image: Image.Image, kind: str = "png", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(load_settings(home=tmp_path / "home", device="cpu"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with `red.png`, and others in need of care; `archive.zip` holds `red.png` and `damaged.png`."""
    folder = tmp_path / "source"
    folder.mkdir()
    image = Image.new("RGB", (20, 10), "red")
    image.putpixel((19, 9), (0, 0, 0))  # or it would be blank
    red = encoded(image)
    noise = encoded(Image.effect_noise((64, 64), 90))
    (folder / "red.png").write_bytes(red)
    (folder / "truncated.png").write_bytes(noise[: len(noise) // 2])
    (folder / "page.png").write_text("<html>404</html>")
    (folder / "large.png").write_bytes(noise + bytes(20_000))
    (folder / "huge.png").write_bytes(encoded(Image.new("1", (1_100, 1_000))))
    (folder / "empty.png").write_bytes(b"")
    (folder / "broken.zip").write_bytes(red)
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("red.png", red)
        archive.writestr("damaged.png", noise)
    # A bit of the member's data, so that its checksum is wrong.
    content = bytearray((folder / "archive.zip").read_bytes())
    content[content.index(noise) + len(noise) // 2] ^= 1
    (folder / "archive.zip").write_bytes(content)
    return folder


@pytest.fixture
def snapshot_of(workspace: Workspace, source: Path) -> Callable[[Mapping[str, str | None]], Snapshot]:
    """The snapshot of a catalogue: product id → image."""

    def make(images: Mapping[str, str | None]) -> Snapshot:
        rows = [
            {"product_id": name, "image": image, "category": ["Things"], "marketplace": "us"}
            for name, image in images.items()
        ]
        pq.write_table(pa.Table.from_pylist(rows, PRODUCTS), source / "products.parquet")
        return ingest(source, "parquet", workspace.settings, workspace.engine).snapshot

    return make


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Snapshot]:
    """A synthetic store and its snapshot."""
    folder = tmp_path_factory.mktemp("store")
    generate(folder / "source", "tiny", seed=3)
    workspace = Workspace(load_settings(home=folder / "home"))
    snapshot = ingest(folder / "source", "parquet", workspace.settings, workspace.engine).snapshot
    return folder / "source", snapshot
