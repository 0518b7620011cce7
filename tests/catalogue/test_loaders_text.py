import gzip
from pathlib import Path

import pytest

from twinvec.catalogue.loaders import text
from twinvec.catalogue.loaders.text import NOT_UTF8, TOO_LONG, read_lines
from twinvec.errors import CatalogueError


@pytest.mark.parametrize("zipped", [False, True])
def test_lines_keep_their_numbers_past_blank_and_unusable_ones(tmp_path: Path, zipped: bool) -> None:
    content = "\ufeffüna\n\n".encode() + b"bad \xff byte\r\n" + b"last"
    path = tmp_path / "named_anyhow.txt"
    path.write_bytes(gzip.compress(content) if zipped else content)
    lines = list(read_lines(path))
    assert [(line.number, line.text.rstrip(), line.reason) for line in lines] == [
        (1, "üna", None),
        (3, "bad � byte", NOT_UTF8),
        (4, "last", None),
    ]


def test_a_line_without_end_is_cut_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "MAX_LINE", 100)
    path = tmp_path / "long.txt"
    path.write_text("x" * 1050 + "\n" + "short\n" + "y" * 99 + "\n")
    lines = list(read_lines(path))
    assert [(line.number, len(line.text), line.reason) for line in lines] == [
        (1, 100, TOO_LONG),
        (2, 6, None),
        (3, 100, None),
    ]


def test_a_truncated_gzip_says_how_far_it_went(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"line {n} {n * 7919}\n" for n in range(20_000)).encode())
    path = tmp_path / "cut.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        CatalogueError, match=r"cut\.gz is a damaged gzip file: it breaks off after line \d{3,}"
    ):
        list(read_lines(path))


def test_a_gzip_with_a_wrong_byte_is_damaged_too(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(b"".join(b"%d\n" % n for n in range(1000))))
    whole[-6] ^= 0xFF  # in the checksum
    path = tmp_path / "damaged.gz"
    path.write_bytes(whole)
    with pytest.raises(CatalogueError, match="damaged gzip"):
        list(read_lines(path))


def test_a_folder_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="cannot be read: Is a directory"):
        list(read_lines(tmp_path))
