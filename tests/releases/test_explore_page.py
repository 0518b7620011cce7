"""The page at /explore in a real browser, over a served home; skipped where there is no Chromium or no Playwright."""

from __future__ import annotations

import csv
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from benchmarks.browser import ARGUMENTS, BROWSERS
from pipelines.evaluation.layout import map_of
from tests.homes import copied
from twinvec.serving.api import create_app
from twinvec.serving.opening import open_answerer
from twinvec.serving.related import NewProduct, Recommender, Related
from twinvec.settings import QdrantSettings, Settings
from twinvec.settings.serving import ServingSettings
from twinvec.workspace import Workspace

CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: `apt-get install chromium`")


@pytest.fixture(scope="module")
def address(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server over a home with two releases; the first has a map, the second none."""
    home = tmp_path_factory.mktemp("page") / "home"
    copied(released, home)
    workspace = Workspace(Settings(home=home, qdrant=QdrantSettings(verify_sample=20)))
    map_of(workspace, workspace.version("related@v1"))
    (Path(workspace.version("related@v2").path) / "map.arrow").unlink(missing_ok=True)
    answerer = open_answerer(workspace)
    answerer = replace(answerer, cold_start=Cold(answerer.recommender))
    app = create_app(answerer, ServingSettings(log=False), workspace=workspace)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    workspace.close()


class Cold:
    """Answers for a new product with those of one that is there: the page is tested here, not the encoders."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    def related(
        self, product: NewProduct, k: int = 10, filters: Any = None, collection: str | None = None
    ) -> Related:
        assert product.title or product.category or product.image
        ids, _, _ = next(self._recommender.index.pages(collection or "", 1))
        (payload,) = self._recommender.index.payloads(collection or "", ids)
        assert payload is not None
        return self._recommender.related(payload["product_id"], k, filters, collection)

    def warm(self, collection: str) -> None:
        """Nothing is loaded."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Any]:
    """Open the page in a window of its own; no test may leave an error in its console."""
    contexts, problems = [], []

    def opened(query: str = "", width: int = 1280, height: int = 800) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.goto(f"{address}/explore{query}")
        return page

    yield opened
    for context in contexts:
        context.close()
    # The browser itself says that an answer was 404, which the page tells the user.
    assert not [each for each in problems if "404" not in each]


def test_search_click_and_compare_change_the_address(open_page: Any) -> None:
    page = open_page()
    page.wait_for_selector("body[data-drawn='v1 target category 300']")
    page.keyboard.press("/")
    title = page.evaluate(
        "fetch('/explore/api/rows?row=3').then((r) => r.json()).then((told) => told.products[0].title)"
    )
    page.keyboard.type(title.split()[0])
    page.wait_for_selector("#found a")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#hits .hit")
    assert "product=" in page.url
    first = page.inner_text("#panel h2")
    assert page.locator("#hits .hit").count() == 10
    page.locator("#hits .hit a").first.click()
    page.wait_for_function(
        "(before) => document.querySelector('#panel h2')?.textContent !== before", arg=first
    )
    page.go_back()
    page.wait_for_function(
        "(before) => document.querySelector('#panel h2')?.textContent === before", arg=first
    )
    page.select_option("#other", "v2")
    page.wait_for_selector("#otherhits .hit")
    shared = open_page(page.url.partition("/explore")[2])
    shared.wait_for_selector("#otherhits .hit")
    assert shared.inner_text("#panel h2") == first
    page.click("text=Compare")
    page.wait_for_selector("body[data-compared='v1 v2']")
    assert page.inner_text("#changed").endswith("%")


def test_a_click_on_the_map_opens_the_product(open_page: Any) -> None:
    page = open_page("?theme=dark&colour=price&role=source")
    page.wait_for_selector("body[data-drawn='v1 source price 300']")
    box = page.locator("#canvas").bounding_box()
    x, y = page.evaluate(
        "async () => { const get = async (c) => new Float32Array(await (await fetch("
        "'/explore/api/values?column=source_' + c)).arrayBuffer()); "
        "return [(await get('x'))[5], (await get('y'))[5]]; }"
    )
    # The plot keeps its shape: −1…1 spans the shorter side.
    half = min(box["width"], box["height"]) / 2
    place = box["x"] + box["width"] / 2 + x * half, box["y"] + box["height"] / 2 - y * half
    page.mouse.move(place[0] - 30, place[1])
    page.mouse.move(*place, steps=3)
    # On a busy machine a press may last so long that it counts as a drag.
    for _ in range(5):
        page.mouse.click(*place)
        page.wait_for_timeout(500)
        if "product=" in page.url:
            break
    page.wait_for_selector("#hits .hit")
    assert "product=" in page.url


def test_a_new_product_is_answered_by_what_is_known_of_it(open_page: Any) -> None:
    page = open_page("?view=new")
    page.wait_for_selector("body[data-drawn]")
    for field in ("title", "category"):
        page.fill("input[name=title]", "")
        page.fill(f"input[name={field}]", "Red shoe")
        page.click("button[type=submit]")
        page.wait_for_selector("#answer .hit")
        page.fill(f"input[name={field}]", "")
    page.click("button[type=submit]")
    page.wait_for_selector("#answer .problem")


def test_labels_are_downloaded_as_edges(open_page: Any, tmp_path: Path) -> None:
    page = open_page()
    page.wait_for_selector("body[data-drawn]")
    product = page.evaluate(
        "fetch('/explore/api/rows?row=7').then((r) => r.json()).then((told) => told.products[0].product_id)"
    )
    page.fill("#query", product)
    page.keyboard.press("Enter")
    page.wait_for_selector("#hits .hit")
    targets = page.eval_on_selector_all("#hits .hit", "(lines) => lines.map((line) => line.dataset.id)")
    page.locator("#hits .good").nth(0).click()
    page.locator("#hits .bad").nth(1).click()
    page.locator("#hits .good").nth(2).click()
    page.click("text=Labels")
    with page.expect_download() as download:
        page.click("#good")
    download.value.save_as(tmp_path / "good.csv")
    with (tmp_path / "good.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{"source": product, "target": targets[at]} for at in (0, 2)]


def test_a_version_without_a_map_says_what_to_do(open_page: Any) -> None:
    page = open_page("?release=v2")
    page.wait_for_selector("#empty:not([hidden])")
    assert "twinvec plot related@v2" in page.inner_text("#empty")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (768, 1024), (390, 844)])
def test_nothing_is_wider_than_the_window(open_page: Any, width: int, height: int) -> None:
    page = open_page("?view=compare&release=v1&other=v2", width, height)
    page.wait_for_selector("body[data-compared]")
    page.wait_for_selector("body[data-drawn]")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#canvas").bounding_box()["width"] > width / 4
