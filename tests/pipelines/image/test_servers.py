"""Images are fetched from the internet only, unless a setting says otherwise, and no server is waited for."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.image import fetching, servers
from pipelines.image.addresses import Address, resolve
from pipelines.image.decoding import ImageError
from pipelines.image.fetching import Fetcher
from pipelines.image.servers import is_public

PRIVATE = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10"),
    *("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::1/128", "fe80::/10", "fc00::/7", "ff00::/8", "::/128"),
)
PUBLIC = ["93.184.215.0/24", "8.8.8.0/24", "2606:2800:21f::/48"]


def inside(network: str) -> st.SearchStrategy[str]:
    chosen = ipaddress.ip_network(network)
    return st.integers(0, chosen.num_addresses - 1).map(lambda place: str(chosen[place]))


@given(st.sampled_from(PRIVATE).flatmap(inside))
def test_an_address_of_one_s_own_network_is_not_public(address: str) -> None:
    assert not is_public(address)
    if "." in address:
        mapped, last = f"::ffff:{address}", int(ipaddress.IPv4Address(address))
        assert not is_public(mapped)
        assert not is_public(str(ipaddress.IPv6Address((0x64FF9B << 96) | last))), "NAT64"
        assert not is_public(str(ipaddress.IPv6Address((0x2002 << 112) | (last << 80)))), "6to4"
    elif address.startswith("fe80"):
        assert not is_public(f"{address}%eth0")


@given(st.sampled_from(PUBLIC).flatmap(inside))
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)


class Redirecting(BaseHTTPRequestHandler):
    """Answers `/image`, and redirects everything else to another name of itself."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.headers["Host"])
        if self.path == "/image":
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"image")
            return
        self.send_response(302)
        self.send_header("Location", self.path.removeprefix("/to/"))
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, list[str]]]:
    """The port of a server, and the names that it was asked by."""
    handler: type[Redirecting] = type("Handler", (Redirecting,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, handler.asked
        server.shutdown()


def read(image: str, private: bool = False, timeout: float = 5.0) -> bytes:
    return Fetcher(1000, timeout, 1, private).read(resolve(image, None, remote=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0.0.0.0"])
def test_a_private_server_is_not_asked(server: tuple[int, list[str]], host: str) -> None:
    port, asked = server
    with pytest.raises(
        ImageError, match=r"at the address .*, and image\.private_addresses is off|cannot be read"
    ):
        read(f"http://{host}:{port}/image")
    assert asked == []
    if host == "127.0.0.1":
        assert read(f"http://{host}:{port}/image", private=True) == b"image"


def test_each_redirect_is_looked_at(server: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    port, asked = server
    # The first connection counts as one to the internet, as a server of a catalogue may be.
    checked: list[str] = []

    def require_public(address: str) -> None:
        checked.append(address)
        if len(checked) > 1:
            require(address)

    require = servers.require_public
    monkeypatch.setattr(servers, "require_public", require_public)
    with pytest.raises(ImageError, match=r"at the address 127\.0\.0\.1"):
        read(f"http://127.0.0.1:{port}/to/http://localhost:{port}/image")
    assert (len(asked), len(checked)) == (1, 2)


def test_a_private_ftp_server_is_not_asked() -> None:
    with pytest.raises(ImageError, match=r"at the address 127\.0\.0\.1"):
        read("ftp://127.0.0.1:1/a.png")


@pytest.mark.parametrize("greeting", [b"", b"2"])
def test_a_silent_ftp_server_is_not_waited_for(greeting: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                while not stop.wait(0.05):
                    connection.send(greeting)

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(ImageError, match=fetching.SILENT):
            read(f"ftp://127.0.0.1:{listening.getsockname()[1]}/a.png", private=True, timeout=0.5)
        assert time.monotonic() - began < 3
        stop.set()


@pytest.mark.parametrize("archive", [False, True])
def test_a_pipe_is_not_waited_for(tmp_path: Path, archive: bool) -> None:
    pipe = tmp_path / "pipe.zip"
    os.mkfifo(pipe)
    address = resolve("zip://a.png::pipe.zip" if archive else "pipe.zip", str(tmp_path), remote=False)
    began = time.monotonic()
    with pytest.raises(ImageError, match="not a regular file"):
        Fetcher(1000, 5.0, 3).read(address)
    assert time.monotonic() - began < 2


def test_a_link_that_appears_after_the_check_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"good")
    address = resolve("a.png", str(tmp_path), remote=False)
    assert address == Address(str(tmp_path / "a.png"), None, None, tmp_path / "a.png")
    assert Fetcher(1000, 5.0, 1).read(address) == b"good"
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").symlink_to("/etc/hostname")
    with pytest.raises(ImageError, match="cannot be read"):
        Fetcher(1000, 5.0, 1).read(address)
