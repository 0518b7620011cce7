from pathlib import Path

from pipelines.image.addresses import Address
from pipelines.image.cache import ImageCache

ONE, OTHER, MEMBER = (
    Address("http://shop.example/a.png", None, "http://shop.example"),
    Address("http://shop.example/b.png", None, "http://shop.example"),
    Address("a.png", "zip://::http://shop.example/one.zip", "http://shop.example"),
)


def test_what_is_kept_comes_back_in_another_process(tmp_path: Path) -> None:
    first = ImageCache(tmp_path / "images", 100)
    assert first.get(ONE, 50) is None
    first.put(ONE, b"one")
    first.put(MEMBER, b"member")
    second = ImageCache(tmp_path / "images", 100)
    assert [second.get(address, 50) for address in (ONE, OTHER, MEMBER)] == [b"one", None, b"member"]
    assert second.get(MEMBER, 5) is None
    assert {file.suffix for file in tmp_path.rglob("*") if file.is_file()} == {""}


def test_a_full_cache_keeps_what_it_has(tmp_path: Path) -> None:
    ImageCache(tmp_path, 10).put(ONE, bytes(6))
    cache = ImageCache(tmp_path, 10)
    cache.put(OTHER, bytes(5))
    cache.put(MEMBER, bytes(4))
    assert [cache.get(address, 50) for address in (ONE, OTHER, MEMBER)] == [bytes(6), None, bytes(4)]
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) == 10


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file in its place")
    cache = ImageCache(tmp_path / "images", 100)
    cache.put(ONE, b"one")
    assert cache.get(ONE, 50) is None
