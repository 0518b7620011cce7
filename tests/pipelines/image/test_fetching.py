import gzip
import io
import resource
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.image import fetching
from pipelines.image.reading import ImageBatch, read_images
from twinvec.catalogue.snapshot import Snapshot
from twinvec.paths import HomePaths
from twinvec.settings import ImageSettings

SnapshotOf = Callable[[Mapping[str, str | None]], Snapshot]
LIMIT = 50_000
OPTIONS = ImageSettings(
    size=16,
    remote=True,
    private_addresses=True,
    max_bytes=LIMIT,
    max_pixels=1_000_000,
    timeout=0.5,
    attempts=3,
    connections=4,
)


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def marked(size: tuple[int, int], colour: tuple[int, ...]) -> bytes:
    """A picture of one colour but for a corner, without which it would be blank."""
    image = Image.new("RGB", size, colour)
    image.putpixel((0, 0), tuple(255 - value for value in colour))
    return encoded(image)


RED = marked((16, 16), (255, 0, 0))
NOISE = encoded(Image.effect_noise((150, 150), 90))
INFLATING = gzip.compress(bytes(200_000_000), 1)


class Shop(BaseHTTPRequestHandler):
    """A web server that answers each path in a way of its own, and counts the requests."""

    protocol_version = "HTTP/1.1"
    requests: Counter[str]
    closing: Event

    def do_GET(self) -> None:
        self.requests[self.path] += 1
        name = self.path.strip("/").partition("-")[0].partition(".")[0]
        getattr(self, name, self.nothing)()

    def answer(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for key, value in {"Content_Length": str(len(content)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def endless(self, content: bytes = b"") -> None:
        """No length: a body until the client goes, or the server does."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(content)

    def nothing(self) -> None:
        self.answer(b"no such page", 404)

    def red(self) -> None:
        self.answer(RED)

    def flaky(self) -> None:
        self.answer(RED, 503 if self.requests[self.path] <= 2 else 200)

    def busy(self) -> None:
        self.answer(b"later", 429)

    def forbidden(self) -> None:
        self.answer(b"no", 403)

    def hanging(self) -> None:
        self.closing.wait(10)

    def dripping(self) -> None:
        self.endless()
        while not self.closing.wait(0.1):
            self.wfile.write(b"x")

    def slices(self) -> None:
        """A good image of several parts that come one after another, with no length."""
        self.endless()
        for start in range(0, len(NOISE), 5_000):
            self.wfile.write(NOISE[start : start + 5_000])
            self.wfile.flush()
            time.sleep(0.02)

    def oversized(self) -> None:
        self.endless()
        for _ in range(10_000):
            self.wfile.write(bytes(100_000))

    def chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(10_000):
            self.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def inflating(self) -> None:
        self.answer(INFLATING, Content_Encoding="gzip")

    def gzipped(self) -> None:
        self.answer(gzip.compress(NOISE), Content_Encoding="gzip")

    def bomb(self) -> None:
        self.answer(encoded(Image.new("1", (1_100, 1_000))))

    def truncated(self) -> None:
        self.endless(NOISE[:5_000])

    def cut(self) -> None:
        """Less than was announced."""
        self.answer(NOISE[:5_000], Content_Length=str(len(NOISE)))
        self.close_connection = True

    def page(self) -> None:
        self.answer(b"<html>come back later</html>")

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Counter[str]]]:
    """The server's URL, and how often each path was asked for."""
    monkeypatch.setattr(fetching, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(fetching, "LONGEST_WAIT", 0.1)
    handler: Any = type("Handler", (Shop,), {"requests": Counter(), "closing": Event()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.requests
        handler.closing.set()
        server.shutdown()


def read_all(snapshot: Snapshot, options: ImageSettings = OPTIONS, chunk: int = 100) -> list[ImageBatch]:
    return list(read_images(snapshot, options, chunk))


def reasons(batches: list[ImageBatch]) -> dict[str, str]:
    return {row["product_id"]: row["reason"] for batch in batches for row in batch.skipped.to_pylist()}


# Of each path: why its image is left out, and how often it is asked for.
EXPECTED = {
    "red": (None, 1),
    "slices": (None, 1),
    "gzipped": (None, 1),
    "flaky": (None, 3),
    "gone": ("missing", 1),
    "forbidden": ("cannot be read", 1),
    "busy": ("its server does not answer", 3),
    "hanging": ("its server does not answer", 3),
    "dripping": ("its server does not answer", 3),
    "cut": ("its server does not answer", 3),
    "oversized": (f"more than {LIMIT:,} bytes", 1),
    "chunked": (f"more than {LIMIT:,} bytes", 1),
    "inflating": (f"more than {LIMIT:,} bytes", 1),
    "bomb": ("more than 1,000,000 pixels", 1),
    "truncated": ("a damaged image", 1),
    "page": ("not an image", 1),
}


def test_every_kind_of_answer(shop: tuple[str, Counter[str]], snapshot_of: SnapshotOf) -> None:
    url, requests = shop
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    snapshot = snapshot_of({name: f"{url}/{name}" for name in EXPECTED})
    (batch,) = read_all(snapshot)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    good = [name for name, (reason, _) in EXPECTED.items() if reason is None]
    assert batch.product_ids == sorted(good)
    assert reasons([batch]) == {name: reason for name, (reason, _) in EXPECTED.items() if reason}
    assert {path.strip("/"): count for path, count in requests.items()} == {
        name: count for name, (_, count) in EXPECTED.items()
    }
    assert "503" not in str(batch.skipped["detail"].to_pylist())
    assert "429" in str(batch.skipped["detail"].to_pylist())
    assert grown < 150_000, "KiB: a compressed body of 200 MB is not held whole"

    # Now from the disk; what was no image is asked for again.
    requests.clear()
    (again,) = read_all(snapshot)
    np.testing.assert_array_equal(again.pixels, batch.pixels)
    assert requests.keys().isdisjoint(f"/{name}" for name in good)
    assert requests["/page"] == requests["/truncated"] == 1


def test_images_are_fetched_at_the_same_time_and_given_in_order(
    shop: tuple[str, Counter[str]], snapshot_of: SnapshotOf
) -> None:
    url, requests = shop
    names = [f"slices-{number:02}" for number in range(12)]
    snapshot = snapshot_of({name: f"{url}/{name}" for name in names})
    seconds = {}
    for connections in (1, 6):
        options = OPTIONS.model_copy(update={"connections": connections, "cache_bytes": 0, "timeout": 5.0})
        started = time.perf_counter()
        batches = read_all(snapshot, options, chunk=5)
        seconds[connections] = time.perf_counter() - started
        assert [batch.product_ids for batch in batches] == [names[:5], names[5:10], names[10:]]
    assert seconds[6] < seconds[1] / 2
    assert requests.total() == 24, "a cache of no size keeps nothing"


def test_the_next_batch_is_fetched_ahead_and_no_further(
    shop: tuple[str, Counter[str]], snapshot_of: SnapshotOf
) -> None:
    url, requests = shop
    snapshot = snapshot_of({f"{number:02}": f"{url}/red-{number:02}" for number in range(20)})
    batches = read_images(snapshot, OPTIONS, 4)
    next(batches)
    deadline = time.monotonic() + 10
    while requests.total() < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert requests.total() == 8
    batches.close()  # type: ignore[attr-defined]
    assert requests.total() == 8


def test_a_server_that_fails_again_and_again_is_left_alone(
    shop: tuple[str, Counter[str]], snapshot_of: SnapshotOf
) -> None:
    url, requests = shop
    options = OPTIONS.model_copy(update={"connections": 2, "attempts": 1})
    snapshot = snapshot_of({f"{number:02}": f"{url}/busy-{number:02}" for number in range(60)})
    assert reasons(read_all(snapshot, options)) == dict.fromkeys(
        (f"{number:02}" for number in range(60)), "its server does not answer"
    )
    assert fetching.GIVEN_UP_AFTER <= requests.total() <= fetching.GIVEN_UP_AFTER + 1
    # Failures of single images between good ones are no such sign.
    requests.clear()
    mixed = {f"{number:02}": f"{url}/{'gone' if number % 3 else 'red'}-{number:02}" for number in range(60)}
    assert len(read_all(snapshot_of(mixed), options)[0].product_ids) == 20


def test_a_server_out_of_reach_and_a_damaged_cache(
    shop: tuple[str, Counter[str]], snapshot_of: SnapshotOf
) -> None:
    url, requests = shop
    snapshot = snapshot_of({"red": f"{url}/red", "off": "http://127.0.0.1:9/a.png"})
    (batch,) = read_all(snapshot)
    assert reasons([batch]) == {"off": "its server does not answer"}
    (kept,) = (file for file in HomePaths(snapshot.path.parents[1]).images.rglob("*") if file.is_file())
    kept.write_bytes(kept.read_bytes()[:20])
    (again,) = read_all(snapshot)
    np.testing.assert_array_equal(again.pixels, batch.pixels)
    assert requests["/red"] == 2
    assert kept.read_bytes() == RED


@pytest.mark.parametrize("name", ["all.tar", "all.tar.gz"])
def test_members_of_tars_are_read_by_many_threads(name: str, snapshot_of: SnapshotOf, source: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 100, (40, 3))
    with tarfile.open(source / name, "w:gz" if name.endswith("gz") else "w") as archive:
        for number, colour in enumerate(colours):
            content = marked((16, 16), tuple(colour.tolist()))
            member = tarfile.TarInfo(f"{number:02}.png")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    snapshot = snapshot_of({f"{number:02}": f"tar://{number:02}.png::{name}" for number in range(40)})
    (batch,) = read_all(snapshot)
    assert batch.product_ids == [f"{number:02}" for number in range(40)]
    np.testing.assert_array_equal(batch.pixels[:, :, 8, 8], colours)
