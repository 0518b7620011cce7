"""Reading of image files from any address, with limits of size and time, and with retries."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock, Thread
from typing import Any, BinaryIO

import aiohttp
import fsspec
from fsspec.implementations.http import HTTPFileSystem
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from pipelines.image.addresses import CHAIN, SCHEME, Address
from pipelines.image.decoding import ImageError
from pipelines.image.servers import PrivateAddressError, public_address, public_client

UNOPENED = "its archive cannot be opened"
SILENT = "its server does not answer"
# Consecutive failures after which a server is not asked again, so that not each of its images waits in vain.
GIVEN_UP_AFTER = 16
# More than one, since threads do not all move from one archive to the next at once.
OPEN_ARCHIVES = 2
WEB = ("http://", "https://")
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0


class ArchiveError(ImageError):
    """An archive that cannot be opened; the cause has the reason."""


class Fetcher:
    """Reader of addresses, for any number of threads. The members of archives are read one at a time.

    Args:
        max_bytes: Largest size of an image file, also unpacked from its archive or from a compressed response.
        timeout: Seconds for one request to a server.
        attempts: Largest number of requests for an image, while the failure may be temporary.
        private: Whether servers at private, loopback and link-local addresses are asked, too.
    """

    def __init__(self, max_bytes: int, timeout: float, attempts: int, private: bool = False) -> None:
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._private = private
        self._retrying = Retrying(
            stop=stop_after_attempt(attempts),
            wait=wait_exponential_jitter(FIRST_WAIT, LONGEST_WAIT),
            retry=retry_if_exception(may_pass),
            reraise=True,
        )
        self._archive = lru_cache(OPEN_ARCHIVES)(self._open_archive)
        self._archives_lock = Lock()
        self._broken: set[str] = set()
        self._failures: Counter[str | None] = Counter()

    def read(self, address: Address) -> bytes:
        """Return the bytes at an address.

        Raises:
            ImageError: If the file is missing, too large, or cannot be read.
        """
        if address.archive in self._broken:
            raise ImageError(UNOPENED)
        if self._failures[address.server] >= GIVEN_UP_AFTER:
            raise ImageError(SILENT)
        try:
            content = self._retrying(self._read, address)
        except Exception as error:  # Each file system has its own errors: one image must not end a run.
            raise self._explain(error, address) from _cause(error)
        self._failures[address.server] = 0
        if len(content) > self._max_bytes:
            raise ImageError(f"more than {self._max_bytes:,} bytes")
        return content

    def _read(self, address: Address) -> bytes:
        if address.file is not None and address.archive is None:
            return _read_file(address.file, self._max_bytes + 1)
        if address.server is None or address.server.startswith(WEB):
            return self._open_and_read(address)
        # Other servers' clients have time-outs for a step at most, and a server may make many small ones.
        return within(self._timeout, lambda: self._open_and_read(address))

    def _open_and_read(self, address: Address) -> bytes:
        if address.archive is not None:
            if address.file is not None:
                _require_regular(address.file)
            with self._archives_lock, self._archive(address.archive).open(address.path, "rb") as file:
                return _read_up_to(file, self._max_bytes + 1)
        files, path = fsspec.url_to_fs(address.path, **self._options(address.path))
        # One request for the whole file; with a size given, fsspec does not ask the server for it first.
        stream = {"block_size": 0, "size": 1} if isinstance(files, HTTPFileSystem) else {}
        with files.open(path, "rb", **stream) as file:
            return _read_up_to(file, self._max_bytes + 1)

    def _open_archive(self, archive: str) -> fsspec.AbstractFileSystem:
        try:
            return fsspec.url_to_fs(archive, **self._options(archive))[0]
        except Exception as error:
            raise ArchiveError(UNOPENED) from error

    def _options(self, url: str) -> dict[str, Any]:
        """Return options that limit the wait for a server, and which servers are asked; in a chain, by link."""
        link = url.rpartition(CHAIN)[2]
        scheme = link.partition(SCHEME)[0].lower()
        options: dict[str, Any] = {}
        if scheme in {"http", "https"}:
            options = {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=self._timeout)}}
            if not self._private:
                options["get_client"] = public_client
        elif scheme == "ftp":
            options = {"timeout": self._timeout}
            if not self._private:
                options["host"] = public_address(link)
        return {scheme: options} if CHAIN in url and options else options

    def _explain(self, error: Exception, address: Address) -> ImageError:
        """Return the error of an image, and note servers and archives that need not be tried again."""
        if isinstance(_cause(error), ImageError | PrivateAddressError):
            return ImageError(str(_cause(error)))
        if may_pass(error):
            self._failures[address.server] += 1
            return ImageError(SILENT)
        self._failures[address.server] = 0
        if isinstance(error, ArchiveError) and address.archive is not None:
            self._broken.add(address.archive)
            return ImageError(UNOPENED)
        return ImageError("missing" if isinstance(error, FileNotFoundError | KeyError) else "cannot be read")


def within(seconds: float, read: Callable[[], bytes]) -> bytes:
    """Return what `read` returns; raise TimeoutError if it takes longer, and leave it to end by itself."""
    results: list[bytes] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(read())
        except Exception as error:
            errors.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer in {seconds:g} s")
    return results[0]


def may_pass(error: BaseException) -> bool:
    """Return whether an error may be temporary: no connection, no answer in time, a server busy or failing."""
    error = _cause(error)
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status == 429 or error.status >= 500
    if isinstance(error, aiohttp.ClientSSLError):
        return False
    passing = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError, TimeoutError)
    return isinstance(error, passing)


def _open_regular(path: Path) -> BinaryIO:
    """Open a file; a pipe, a device or a socket is refused, which could be waited for without end."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise ImageError("not a regular file")
    return os.fdopen(opened, "rb")


def _require_regular(archive: Path) -> None:
    try:
        _open_regular(archive).close()
    except OSError as error:
        raise ArchiveError(UNOPENED) from error


def _read_file(path: Path, size: int) -> bytes:
    with _open_regular(path) as file:
        return file.read(size)


def _cause(error: BaseException) -> BaseException:
    """Return the original error; fsspec reports any failure of a URL as a missing file."""
    while isinstance(error, ArchiveError | FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _read_up_to(file: BinaryIO, size: int) -> bytes:
    """Return the first `size` bytes; a response returns what has arrived, so that several reads are needed."""
    parts = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
