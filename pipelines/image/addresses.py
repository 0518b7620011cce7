"""Addresses of images: from the column `image` to an address that fsspec opens."""

from __future__ import annotations

from dataclasses import dataclass

CHAIN = "::"
SCHEME = "://"
ARCHIVES = {"zip", "tar"}
LOCAL = {"", "file", "local"}


class AddressError(Exception):
    """An image that must not be opened; the message is the reason."""


@dataclass(frozen=True)
class Address:
    """An image in a file of its own, or in an archive.

    Attributes:
        path: URL or path of the image; a path within the archive, if it is in one.
        archive: Address of the archive as an fsspec chain, `zip://::/images/00000.zip`; None outside an archive.
        server: Scheme and name of the machine the bytes come from, `https://shop.example`; None for this machine.
    """

    path: str
    archive: str | None
    server: str | None


def resolve(image: str, root: str | None, remote: bool) -> Address:
    """Return the address of an image.

    Args:
        image: A URL or path, or a chain such as `zip://name.png::images-00000.zip`.
        root: Start of a relative path, or of a chain whose last part is one.
        remote: Whether images may be fetched from another machine.

    Raises:
        AddressError: If it is on another machine and `remote` is false, is relative without a root, or is a chain of
            other file systems than archives.
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
    server = None
    if scheme not in LOCAL:
        if not remote:
            raise AddressError("on another machine, and image.remote is off")
        server = f"{scheme}{SCHEME}{links[-1].partition(SCHEME)[2].partition('/')[0]}"
    if outer:
        return Address(links[0].partition(SCHEME)[2], CHAIN.join([f"{outer[0]}{SCHEME}", *links[1:]]), server)
    return Address(links[0], None, server)


def _scheme(link: str) -> str:
    scheme, separator, _ = link.partition(SCHEME)
    return scheme.lower() if separator else ""
