"""Addresses of images: from the column `image` to an address that may be opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHAIN = "::"
SCHEME = "://"
ARCHIVES = {"zip", "tar"}
LOCAL = {"", "file", "local"}
# Others of fsspec's file systems reach what no catalogue means: shells, clusters, git repositories, other caches.
REMOTE = {"http", "https", "ftp", "s3", "gs", "gcs", "az", "abfs", "abfss"}


class AddressError(Exception):
    """An image that must not be opened; the message is the reason."""


@dataclass(frozen=True)
class Address:
    """An image in a file of its own, or in an archive.

    Attributes:
        path: URL or path of the image; a path within the archive, if it is in one.
        archive: Address of the archive as an fsspec chain, `zip://::/images/00000.zip`; None outside an archive.
        server: Scheme and name of the machine the bytes come from, `https://shop.example`; None for this machine.
        file: File on this machine that the bytes come from, without symbolic links; None on another machine.
    """

    path: str
    archive: str | None
    server: str | None
    file: Path | None = None


def resolve(image: str, root: str | None, remote: bool, folders: Sequence[Path] = ()) -> Address:
    """Return the address of an image.

    Args:
        image: A URL or path, or a chain such as `zip://name.png::images-00000.zip`.
        root: Start of a relative path, or of a chain whose last part is one. Files below it may be opened.
        remote: Whether images may be fetched from another machine.
        folders: Further folders of this machine whose files may be opened.

    Raises:
        AddressError: If it is on another machine and `remote` is false, is on this one and in none of the folders, is
            relative without a root, or is a chain of other file systems than archives.
    """
    links = image.split(CHAIN)
    last = links[-1]
    if not _scheme(last) and not last.startswith("/"):
        if root is None:
            raise AddressError("a relative path, in a snapshot with no folder of images")
        links[-1] = f"{root.rstrip('/')}/{last}"
    *outer, scheme = map(_scheme, links)
    # Other chains of fsspec would fetch whole files, however large.
    if not ARCHIVES.issuperset(outer):
        raise AddressError(f"not within {' or '.join(sorted(ARCHIVES))}")
    server = file = None
    if scheme in LOCAL:
        file = _local_file(links[-1], root, folders)
        links[-1] = str(file)
    elif scheme not in REMOTE:
        raise AddressError(f"of the scheme {scheme}, and those that are read are {', '.join(sorted(REMOTE))}")
    else:
        if not remote:
            raise AddressError("on another machine, and image.remote is off")
        server = f"{scheme}{SCHEME}{links[-1].partition(SCHEME)[2].partition('/')[0]}"
    if outer:
        archive = CHAIN.join([f"{outer[0]}{SCHEME}", *links[1:]])
        return Address(links[0].partition(SCHEME)[2], archive, server, file)
    return Address(links[0], None, server, file)


def _local_file(link: str, root: str | None, folders: Sequence[Path]) -> Path:
    """Return the file that a path or a `file:` URL names, if it lies in one of the folders, links followed."""
    try:
        file = Path(link.partition(SCHEME)[2] if _scheme(link) else link).resolve()
        allowed = [folder.expanduser().resolve() for folder in folders]
        if root is not None and _scheme(root) in LOCAL:
            allowed.append(Path(root.partition(SCHEME)[2] if _scheme(root) else root).resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, or a null in the name
        raise AddressError("not the name of a file") from error
    if not any(file.is_relative_to(folder) for folder in allowed):
        raise AddressError("outside the folder of the catalogue, and in none of image.folders")
    return file


def _scheme(link: str) -> str:
    scheme, separator, _ = link.partition(SCHEME)
    return scheme.lower() if separator else ""
