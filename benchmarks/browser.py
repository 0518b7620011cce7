"""A served home and a headless Chromium, for pictures and timings of pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# WebGL 2 without a GPU.
ARGUMENTS = ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]

# Seconds in which a server answers.
WAIT = 90


@contextmanager
def served(home: Path, port: int) -> Iterator[str]:
    """Serve a home for as long as the block, and yield the address of the page."""
    address = f"http://127.0.0.1:{port}"
    command = [str(Path(sys.executable).parent / "twinvec"), "serve", "--port", str(port)]
    process = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, env={**os.environ, "TWINVEC_HOME": str(home.absolute())}
    )
    try:
        wait_for(f"{address}/ready")
        yield address
    finally:
        process.terminate()
        process.wait()


def wait_for(address: str) -> None:
    """Return once an address answers.

    Raises:
        URLError: If it does not within `WAIT` seconds.
    """
    deadline = time.monotonic() + WAIT
    while True:
        try:
            urlopen(address, timeout=1).close()
            return
        except (URLError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


@contextmanager
def opened(*arguments: str) -> Iterator[Any]:
    """Yield an installed Chromium, started with further arguments.

    Raises:
        SystemExit: If there is none.
    """
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise SystemExit("there is no Chromium: `apt-get install chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*ARGUMENTS, *arguments])
        yield browser
        browser.close()
