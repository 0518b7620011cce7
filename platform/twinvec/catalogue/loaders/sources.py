"""Files of a source: one, or the part files of a folder; and files that no loader reads, named for what they are."""

from __future__ import annotations

import codecs
from pathlib import Path

from twinvec.errors import CatalogueError

PARQUET = b"PAR1"
UTF8 = "save it as UTF-8: in Excel “CSV UTF-8”, elsewhere `iconv -f UTF-16 -t UTF-8`"
UNPACK = "unpack it, and name the file within"
# First bytes → what it is, and what to do.
FOREIGN: dict[bytes, tuple[str, str]] = {
    b"PK\x03\x04": ("a zip archive", UNPACK),
    b"PK\x05\x06": ("an empty zip archive", UNPACK),
    b"\xd0\xcf\x11\xe0": ("a workbook of Excel (.xls)", "save its sheet as “CSV UTF-8”, and name that"),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", UNPACK),
    b"Rar!": ("a RAR archive", UNPACK),
    b"BZh": ("compressed by bzip2", "run `bunzip2` on it, or compress it by gzip"),
    b"\xfd7zXZ\x00": ("compressed by xz", "run `unxz` on it, or compress it by gzip"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "run `unzstd` on it, or compress it by gzip"),
    PARQUET: ("a Parquet file", "give its name the ending .parquet, or name the format that reads Parquet"),
    b"ORC": ("an ORC file", "write it as Parquet"),
    b"Obj\x01": ("an Avro file", "write it as Parquet"),
    b"SQLite format 3": ("a SQLite database", "export its table as CSV"),
    b"%PDF": ("a PDF", "export its table as CSV"),
    b"ARROW1": ("an Arrow file", "write it as Parquet"),
    codecs.BOM_UTF32_LE: ("UTF-32 text", UTF8),
    codecs.BOM_UTF16_LE: ("UTF-16 text", UTF8),
    codecs.BOM_UTF16_BE: ("UTF-16 text", UTF8),
}
SHEET = ("a workbook of Excel (.xlsx)", "save its sheet as “CSV UTF-8”, and name that")


def parts(source: Path) -> list[Path]:
    """Return the file itself, or the part files of a folder by name, as Spark and the like write them.

    Raises:
        CatalogueError: If the folder has none.
    """
    if not source.is_dir():
        return [source]
    files = [path for path in sorted(source.iterdir()) if path.is_file() and path.name[0] not in "._"]
    if not files:
        raise CatalogueError(f"the folder {source} has no files", "name a file, or a folder of part files")
    return files


def is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet by its first bytes, or else by its name: a damaged one is told as such."""
    return starts(path, len(PARQUET)) == PARQUET or path.suffix == ".parquet"


def starts(path: Path, size: int) -> bytes:
    """Return the first bytes of a file; none if it cannot be opened, which its reader explains."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def refuse_foreign(path: Path, start: bytes) -> None:
    """Refuse a file that is no text, told by its first few hundred bytes, unpacked.

    Raises:
        CatalogueError: Saying what it is, and what to do.
    """
    found = next((told for magic, told in FOREIGN.items() if start.startswith(magic)), None)
    if found is not None and start.startswith(b"PK") and (b"xl/" in start or b"[Content_Types]" in start):
        found = SHEET
    if found is None and start[257:262] == b"ustar":
        found = ("a tar archive", UNPACK)
    if found is None and len(start) > 3 and start[:200].count(0) > len(start[:200]) // 3:
        found = ("UTF-16 text, or no text at all", UTF8)
    if found is None and start.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        found = ("a page of HTML, perhaps of a failed download", "fetch the file again")
    if found is not None:
        raise CatalogueError(f"{path} is {found[0]}, which is not read", found[1])
