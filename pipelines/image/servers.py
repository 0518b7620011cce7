"""Servers that images may be fetched from: no address that only this machine or its network reaches."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp

# Addresses that carry an IPv4 address in their last 32 bits (RFC 6052).
TRANSLATED = IPv6Network("64:ff9b::/96")


class PrivateAddressError(Exception):
    """A server whose address is private, loopback, link-local or of another special use."""


def is_public(address: str) -> bool:
    """Return True if an IP address is one of the internet's.

    Example:
        >>> is_public("93.184.215.14"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
        (True, False, False)
    """
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in TRANSLATED:
            carried = IPv4Address(int(ip) & 0xFFFF_FFFF)
        if carried is not None:
            ip = carried
    return ip.is_global and not ip.is_multicast


def require_public(address: str) -> None:
    """Raise PrivateAddressError if an IP address is none of the internet's."""
    if not is_public(address):
        raise PrivateAddressError(f"at the address {address}, and image.private_addresses is off")


def public_address(url: str) -> str:
    """Return an IP address of the server of a URL, which is to be used in place of its name.

    Raises:
        PrivateAddressError: If any of its addresses is none of the internet's.
        OSError: If it has none.
    """
    host = urlsplit(url).hostname or ""
    addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    for address in addresses:
        require_public(address)
    return addresses[0]


async def public_client(**options: Any) -> aiohttp.ClientSession:
    """Return a client that connects to public addresses only.

    The address is looked at when a connection is made: after its name was resolved, and again after each redirect.
    """
    connector = aiohttp.TCPConnector(socket_factory=_public_socket)
    return aiohttp.ClientSession(connector=connector, **options)


def _public_socket(found: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, address = found
    require_public(str(address[0]))
    return socket.socket(family, kind, protocol)
