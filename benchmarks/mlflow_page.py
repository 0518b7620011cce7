"""Take a picture of MLflow's page that compares two versions, in a real browser.

    python benchmarks/mlflow_page.py [PICTURE]

Two versions of `related`, of two dimensions and learning rates, are made of a small synthetic store in a temporary
home. The picture is `docs/results/mlflow-compare.png`. It needs Chromium, and Playwright of the group `dev`.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mlflow import MlflowClient
from PIL import Image

import twinvec
from benchmarks.browser import WAIT, opened, wait_for
from registry.models import Version
from twinvec.catalogue.synthetic import generate

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "results" / "mlflow-compare.png"
# Dimension and learning rate of each version.
VERSIONS = ((32, 0.003), (64, 0.01))
# Milliseconds in which the charts are drawn; the page never stops to ask the server.
SETTLED = 4_000
# Pixels; the part between the menu and the assistant; and colours, with which the file is a fifth as large.
WIDTH, HEIGHT = 1280, 2000
LEFT, SHOWN_WIDTH, SHOWN_HEIGHT = 198, 748, 1500
COLOURS = 64
# The page asks other servers for news, and waits for them.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


def main(arguments: list[str]) -> None:
    """Make the versions, serve MLflow's page, and take the picture."""
    picture = Path(arguments[0]) if arguments else PICTURE
    with tempfile.TemporaryDirectory() as folder:
        versions = make_versions(Path(folder))
        store = f"sqlite:///{Path(folder) / 'home' / 'mlflow.db'}"
        runs = [str(version.run_id) for version in versions]
        experiment = MlflowClient(store).get_run(runs[0]).info.experiment_id
        query = f"runs={quote(json.dumps(runs))}&experiments={quote(json.dumps([experiment]))}"
        with serve_page(store) as address:
            take(f"{address}/#/compare-runs?{query}", versions[-1].name, picture)
    print(
        f"{picture}: {picture.stat().st_size / 1000:.0f} KB, {' and '.join(each.name for each in versions)}"
    )


def make_versions(folder: Path) -> list[Version]:
    """Make the versions of `related`, by the recipe `sage`."""
    generate(folder / "store", 300, seed=1, images=False)
    versions = []
    for dimension, rate in VERSIONS:
        options: dict[str, Any] = {
            "device": "cpu",
            "text": {"scheme": "pretrained"},
            "related": {
                "recipe": "sage",
                "dimension": dimension,
                "sage": {"epochs": 6, "learning_rate": rate},
            },
        }
        with twinvec.open(folder / "home", **options) as home:
            home.ingest(folder / "store")
            version = home.train("related")[-1].version
            assert version is not None
            versions.append(version)
    return versions


@contextmanager
def serve_page(store: str) -> Iterator[str]:
    """Yield the address of MLflow's page over a store, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        store,
        "--port",
        str(port),
        "--workers=1",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/health")
            yield address
        finally:
            process.terminate()


def take(address: str, awaited: str, picture: Path) -> None:
    """Write a picture of a page, once it shows a text, with few colours."""
    with opened(OFFLINE) as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(address, wait_until="domcontentloaded")
        page.get_by_text(awaited).first.wait_for(timeout=1_000 * WAIT)
        page.get_by_role("switch").first.click()  # only parameters that differ
        page.wait_for_timeout(SETTLED)
        taken = page.screenshot(clip={"x": LEFT, "y": 0, "width": SHOWN_WIDTH, "height": SHOWN_HEIGHT})
    with Image.open(BytesIO(taken)) as image:
        image.convert("RGB").quantize(COLOURS).save(picture, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
