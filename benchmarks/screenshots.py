"""Take the pictures of the page at /explore that README and docs/explore.md show, with an installed Chromium.

    twinvec demo
    TWINVEC_SEED=1 twinvec train related --from aligned@v1
    TWINVEC_RANKING__REQUIRED=false twinvec publish related@v2
    python benchmarks/screenshots.py .twinvec

The lines between make a release to compare with. The pictures are written to docs/images.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np
import orjson
from PIL import Image

from benchmarks.browser import opened, served

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
LARGEST = 200_000


def most_bought(address: str) -> dict[str, Any]:
    """Return the most bought product that has an image."""
    values = np.frombuffer(urlopen(f"{address}/explore/api/values?column=popularity").read(), "<f4")
    for row in np.argsort(-values, kind="stable").tolist():
        product: dict[str, Any] = orjson.loads(urlopen(f"{address}/explore/api/rows?row={row}").read())[
            "products"
        ][0]
        if product["image"]:
            return product
    raise SystemExit("no product has an image")


def take(page: Any, name: str, *waits: str) -> None:
    """Write a picture of a page once what it waits for is there."""
    for selector in waits:
        page.wait_for_selector(selector)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1000)  # the last frames of the map
    IMAGES.mkdir(exist_ok=True)
    target = IMAGES / f"{name}.webp"
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.save(target, quality=82, method=6)
    size = target.stat().st_size
    print(f"{target.relative_to(ROOT)}: {size / 1000:.0f} kB")
    if size > LARGEST:
        raise SystemExit(f"{target} has more than {LARGEST:,} bytes")


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("home", type=Path, help="home of the demo store")
    parser.add_argument("--other", default="v2", help="release to compare the live one with")
    parser.add_argument("--port", type=int, default=8931)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="pictures that are taken; all if not given")
    arguments = parser.parse_args()
    with served(arguments.home, arguments.port) as address, opened() as browser:
        found = orjson.loads(urlopen(f"{address}/explore/api/releases").read())["releases"]
        if arguments.other not in [each["name"] for each in found]:
            raise SystemExit(
                f"there is no release {arguments.other} to compare with; --help says how to make one"
            )
        product = most_bought(address)
        chosen, answered = f"product={quote(product['product_id'])}", "#hits .hit"

        def visit(query: str, width: int, height: int) -> Any:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(60_000)
            page.goto(f"{address}/explore?{query}")
            page.wait_for_selector("body[data-drawn]")
            return page

        pictures: dict[str, tuple[str, int, int, tuple[str, ...]]] = {
            "explore": (f"theme=light&{chosen}", 1280, 800, (answered, ".why")),
            "explore-dark": (f"theme=dark&colour=price&{chosen}", 1280, 800, (answered, ".why")),
            "explore-narrow": (f"theme=light&{chosen}", 390, 844, (answered, ".why")),
            "explore-compare": (
                f"theme=light&view=compare&other={arguments.other}",
                1280,
                800,
                ("body[data-compared]",),
            ),
            "explore-new": ("theme=light&view=new", 1280, 800, ("#answer .hit",)),
        }
        for name in arguments.only or pictures:
            query, width, height, waits = pictures[name]
            page = visit(query, width, height)
            if name == "explore-new":
                fill_in(page, address, product)
            take(page, name, *waits)
            page.close()


def fill_in(page: Any, address: str, product: dict[str, Any]) -> None:
    """Describe a product of the catalogue as if it were new, with its picture."""
    page.fill("input[name=title]", product["title"])
    image = urlopen(f"{address}/explore/api/image/{quote(product['product_id'])}").read()
    page.set_input_files("#file", {"name": "picture.jpg", "mimeType": "image/jpeg", "buffer": image})
    page.wait_for_selector("#drop img")
    page.click("button[type=submit]")


if __name__ == "__main__":
    main()
