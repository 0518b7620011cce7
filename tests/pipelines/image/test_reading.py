from collections.abc import Callable, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np

from pipelines.image.addresses import REMOTE
from pipelines.image.reading import count_images, read_images
from twinvec.catalogue.snapshot import Snapshot
from twinvec.settings import ImageSettings

SnapshotOf = Callable[[Mapping[str, str | None]], Snapshot]
OPTIONS = ImageSettings(size=16, max_bytes=20_000, max_pixels=1_000_000)
BROKEN = {
    "absent": ("no-such.png", "missing"),
    "absent member": ("zip://no-such.png::archive.zip", "missing"),
    "absent archive": ("zip://red.png::no-such.zip", "its archive cannot be opened"),
    "archive that is none": ("zip://red.png::broken.zip", "its archive cannot be opened"),
    "another of it": ("zip://blue.png::broken.zip", "its archive cannot be opened"),
    "checksum": ("zip://damaged.png::archive.zip", "cannot be read"),
    "folder": (".", "not a regular file"),
    "truncated": ("truncated.png", "a damaged image"),
    "text": ("page.png", "not an image"),
    "empty": ("empty.png", "not an image"),
    "large": ("large.png", "more than 20,000 bytes"),
    "bomb": ("huge.png", "more than 1,000,000 pixels"),
    "remote": ("http://shop.example/a.png", "on another machine, and image.remote is off"),
}
GOOD = {"file": "red.png", "url": "file://{source}/red.png", "member": "zip://red.png::archive.zip"}


def test_what_cannot_be_read_is_left_out_with_its_reason(snapshot_of: SnapshotOf, source: Path) -> None:
    good = {name: image.format(source=source) for name, image in GOOD.items()}
    bad = {name: image for name, (image, _) in BROKEN.items()}
    snapshot = snapshot_of({**good, **bad, "bare": None})
    for chunk in (1, 4, 100):
        batches = list(read_images(snapshot, OPTIONS, chunk))
        assert max(len(batch.product_ids) + len(batch.skipped) for batch in batches) <= chunk
        assert sorted(name for batch in batches for name in batch.product_ids) == sorted(good)
        skipped = [row for batch in batches for row in batch.skipped.to_pylist()]
        assert {row["product_id"]: row["reason"] for row in skipped} == {
            name: reason for name, (_, reason) in BROKEN.items()
        }
        assert {row["product_id"]: row["image"] for row in skipped} == bad
        pixels = np.concatenate([batch.pixels for batch in batches])
        assert pixels.shape == (3, 3, 16, 16)
        # 20 × 10 red, padded to a square in white.
        assert (pixels[:, :, 8, 8] == [255, 0, 0]).all()
        assert (pixels[:, :, 0, 0] == 255).all()
    assert count_images(snapshot) == len(good) + len(bad)


def test_remote_images_are_fetched_if_they_may_be(snapshot_of: SnapshotOf, source: Path) -> None:
    handler = partial(RangeHandler, directory=str(source))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        images = {
            "image": f"{url}/red.png",
            "member": f"zip://red.png::{url}/archive.zip",
            "gone": f"{url}/no-such.png",
            "odd": "nonsense://red.png",
        }
        options = OPTIONS.model_copy(update={"remote": True, "private_addresses": True})
        (batch,) = read_images(snapshot_of(images), options, 10)
        server.shutdown()
    assert sorted(batch.product_ids) == ["image", "member"]
    reasons = {row["product_id"]: row["reason"] for row in batch.skipped.to_pylist()}
    assert reasons == {
        "gone": "missing",
        "odd": "of the scheme nonsense, and those that are read are " + ", ".join(sorted(REMOTE)),
    }


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves parts of files, without which an archive cannot be read over HTTP."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        part = content[int(first or 0) : int(last or len(content)) + 1]
        self.send_response(206 if first else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first or 0}-{last}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *arguments: object) -> None:
        pass
