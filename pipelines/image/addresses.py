"""Where a product's image is: from the column `image` to an address that fsspec opens."""

from __future__ import annotations

from dataclasses import dataclass

CHAIN = "::"
SCHEME = "://"
ARCHIVES = {"zip", "tar"}
LOCAL = {"", "file", "local"}


class AddressError(Exception):
    """An image that is not to be opened; the message is the reason."""


@dataclass(frozen=True)
class Address:
    """An image in a file of its own, or in an archive.

    Attributes:
        path: URL or path of the image; within its archive, if it is in one.
        archive: address of the archive as fsspec writes a chain, `zip://::/images/00000.zip`; None outside one.
        server: scheme and name of the machine the bytes come from, `https://shop.example`; None if it is this one.
    """

    path: str
    archive: str | None
    server: str | None


def resolve(image: str, root: str | None, remote: bool) -> Address:
    """The address of an image.

    Args:
        image: a URL or path, or a chain such as `zip://name.png::images-00000.zip`.
        root: where a relative path, or a chain whose last part is one, starts.
        remote: whether images may be fetched from another machine.

    Raises:
        AddressError: if it is on another machine and may not be fetched, is relative to nothing, or is a chain of
            more than archives.
    """
    links = image.split(CHAIN)
    last = links[-1]
    if not _scheme(last) and not last.startswith("/"):
        if root is None:
            raise AddressError("a relative path, in a snapshot with no folder of images")
        links[-1] = f"{root.rstrip('/')}/{last}"
    *outer, scheme = map(_scheme, links)
    # fsspec knows others that fetch whole files, however large.
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
    scheme, found, _ = link.partition(SCHEME)
    return scheme.lower() if found else ""
