"""Where a product's image is: from the column `image` to an address that fsspec opens."""

from __future__ import annotations

from dataclasses import dataclass

CHAIN = "::"
SCHEME = "://"
ARCHIVES = {"zip", "tar"}
LOCAL = {"file", "local", *ARCHIVES}


class AddressError(Exception):
    """An image that is not to be opened; the message is the reason."""


@dataclass(frozen=True)
class Address:
    """An image in a file of its own, or in an archive.

    Attributes:
        path: URL or path of the image; within its archive, if it is in one.
        archive: address of the archive as fsspec writes a chain, `zip://::/images/00000.zip`; None outside one.
    """

    path: str
    archive: str | None


def resolve(image: str, root: str | None, remote: bool) -> Address:
    """The address of an image.

    Args:
        image: a URL or path, or a chain such as `zip://name.png::images-00000.zip`.
        root: where a relative path, or a chain whose last part is one, starts.
        remote: whether images may be fetched from another machine.

    Raises:
        AddressError: if it is on another machine and may not be fetched, or is relative to nothing.
    """
    first, *others = image.split(CHAIN)
    links = [first, *others]
    schemes = [_scheme(link) for link in links]
    # The last link is where the bytes are; a link before it is named by its scheme alone if need be.
    schemes[:-1] = [scheme or link for scheme, link in zip(schemes[:-1], links[:-1], strict=True)]
    if not remote and any(scheme not in LOCAL for scheme in schemes if scheme):
        raise AddressError("on another machine, and image.remote is off")
    last = links[-1]
    if not schemes[-1] and not last.startswith("/"):
        if root is None:
            raise AddressError("a relative path, in a snapshot with no folder of images")
        links[-1] = f"{root.rstrip('/')}/{last}"
        if not remote and _scheme(root) not in {"", *LOCAL}:
            raise AddressError("on another machine, and image.remote is off")
    if len(links) > 1 and schemes[0] in ARCHIVES:
        return Address(first.partition(SCHEME)[2], CHAIN.join([f"{schemes[0]}{SCHEME}", *links[1:]]))
    return Address(CHAIN.join(links), None)


def _scheme(link: str) -> str:
    scheme, found, _ = link.partition(SCHEME)
    return scheme.lower() if found else ""
