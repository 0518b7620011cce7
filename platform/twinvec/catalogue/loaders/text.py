"""Lines of a text file, plain or gzipped, each with its number and with what was wrong with it."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from twinvec.catalogue.loaders.sources import refuse_foreign
from twinvec.errors import CatalogueError

MAX_LINE = 4 * 1024 * 1024
GZIP_MAGIC = b"\x1f\x8b"
NOT_UTF8 = "not UTF-8"
# Enough of a file to tell what it is, and how its lines end.
START = 64 * 1024
TOO_LONG = f"line longer than {MAX_LINE // 1024 // 1024} MiB"


class Line(NamedTuple):
    """A line: its number from 1, its text with the line break, and the reason if it cannot be used."""

    number: int
    text: str
    reason: str | None


def read_lines(path: Path) -> Iterator[Line]:
    """Yield every line of `path` that is not blank. Gzip is told by the first bytes, not by the name.

    Lines end in LF, CR LF, or in CR alone if the first one does.

    Raises:
        CatalogueError: If the file cannot be read, is no text, or is a gzip file that ends early or is damaged.
    """
    number = 0
    try:
        with _open(path) as file:
            while raw := file.readline(MAX_LINE):
                number += 1
                reason = TOO_LONG if len(raw) == MAX_LINE and not raw.endswith(b"\n") else None
                if reason:
                    while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                        pass
                if raw.strip():
                    yield _decode(number, raw, reason)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CatalogueError(
            f"{path} is a damaged gzip file: it breaks off after line {number} ({error})",
            "fetch or copy it again, and compare its size with the original's",
        ) from error
    except OSError as error:
        raise CatalogueError(
            f"{path} cannot be read: {error.strerror or error}", "name a file you may read"
        ) from error


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        zipped = file.read(2) == GZIP_MAGIC
    opened = cast(BinaryIO, (gzip.open if zipped else open)(path, "rb"))
    try:
        start = opened.read(START)
        refuse_foreign(path, start[:4096])
        opened.seek(0)
    except BaseException:
        opened.close()
        raise
    line, ended, _ = start.partition(b"\n")
    first, alone, _ = line.partition(b"\r")
    return cast(BinaryIO, _Translated(opened)) if alone and (first + b"\r" != line or not ended) else opened


class _Translated(io.TextIOWrapper):
    """Lines of a file that end in CR alone, each as bytes that end in LF."""

    def __init__(self, file: BinaryIO) -> None:
        # Every byte is a character of Latin-1, so that nothing but the ends of lines is changed.
        super().__init__(file, encoding="latin-1", newline=None)

    def readline(self, size: int = -1) -> bytes:  # type: ignore[override]
        """Return the next line, at most `size` bytes of it."""
        return super().readline(size).encode("latin-1")


def _decode(number: int, raw: bytes, reason: str | None) -> Line:
    if number == 1:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        return Line(number, raw.decode("utf-8"), reason)
    except UnicodeDecodeError:
        return Line(number, raw.decode("utf-8", "replace"), reason or NOT_UTF8)
