"""The data of the page at /explore, over a home with two releases."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from typer.testing import CliRunner

from pipelines.command.app import app
from pipelines.evaluation.atlas import nearest
from pipelines.evaluation.layout import map_of, place
from pipelines.image.thumbnails import Thumbnails
from registry.models import Release
from tests.homes import copied
from tests.releases.conftest import World
from twinvec.catalogue.snapshot import Snapshot
from twinvec.releases import changes
from twinvec.serving.api import create_app
from twinvec.serving.explore.opening import Explored, Explorer
from twinvec.serving.explore.thumbnails import NoPictureError
from twinvec.serving.http.keys import Keys, digest_of
from twinvec.serving.opening import open_answerer
from twinvec.settings import ImageSettings, QdrantSettings, Settings
from twinvec.settings.serving import KeySettings
from twinvec.workspace import Workspace

API = "/explore/api"


@pytest.fixture(scope="module")
def home(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home with releases, whose first version has a map that it did not have before."""
    folder = tmp_path_factory.mktemp("explored") / "home"
    copied(released, folder)
    return folder


@pytest.fixture(scope="module")
def workspace(home: Path) -> Iterator[Workspace]:
    workspace = Workspace(Settings(home=home, qdrant=QdrantSettings(verify_sample=20)))
    yield workspace
    workspace.close()


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> TestClient:
    return TestClient(
        create_app(open_answerer(workspace), workspace=workspace, thumbnails=Thumbnails(ImageSettings()))
    )


@pytest.fixture(scope="module")
def drawn(workspace: Workspace, client: TestClient) -> Any:
    """The map of the first version; before it is made, the page is told how to make it."""
    folder = Path(workspace.version("related@v1").path)
    (folder / "map.arrow").unlink(missing_ok=True)
    missing = client.get(f"{API}/map", params={"release": "v1"})
    assert missing.status_code == 404
    assert missing.json()["hint"].startswith("`twinvec plot related@v1`")
    return map_of(workspace, workspace.version("related@v1"))


def column(client: TestClient, name: str, **more: int) -> npt.NDArray[np.float32]:
    answer = client.get(f"{API}/values", params={"release": "v1", "column": name, **more})
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, "<f4")


def test_a_map_is_what_the_catalogue_and_the_vectors_say(
    world: World, client: TestClient, drawn: Any
) -> None:
    about = client.get(f"{API}/map").json()
    assert (about["release"], about["version"], about["products"]) == ("v1", "related@v1", 300)
    assert about["roles"] == ["source", "target"]
    ids = [str(each) for each in world.products["product_id"]]
    assert drawn["product_id"].to_pylist() == sorted(ids)
    order = np.argsort(ids)
    first = [path[0] if path else "none" for path in world.products["category"]]  # type: ignore[index]
    (groups,) = [each for each in about["columns"] if each["name"] == "category"]
    codes = column(client, "category").astype(int)
    assert [groups["names"][code] for code in codes] == [first[row] for row in order]
    counts = Counter(first)
    assert [counts[name] for name in groups["names"]] == sorted(counts.values(), reverse=True)[:10]
    price = np.array([np.nan if each is None else each for each in world.products["price"]], np.float32)
    np.testing.assert_array_equal(column(client, "price"), price[order])
    parts = [column(client, "target_x", first=start, rows=77) for start in range(0, 300, 77)]
    np.testing.assert_array_equal(np.concatenate(parts), drawn["target_x"].to_numpy())
    assert all(
        np.abs(column(client, f"{role}_{end}")).max() <= 1 for role in ("source", "target") for end in "xy"
    )


def test_popularity_and_cold_start_are_counted(workspace: Workspace, client: TestClient, drawn: Any) -> None:
    snapshot = workspace.snapshot()
    bought: Counter[str] = Counter()
    for row in pq.read_table(snapshot.table("copurchase")).to_pylist():
        bought.update({row["source"]: row["count"], row["target"]: row["count"]})
    viewed = pq.read_table(snapshot.table("coview")).to_pydict()
    tied = {*bought, *viewed["source"], *viewed["target"]}
    ids = drawn["product_id"].to_pylist()
    assert column(client, "popularity").tolist() == [bought[each] for each in ids]
    assert column(client, "cold").tolist() == [each not in tied for each in ids]


def test_alike_products_are_near_each_other_though_few_are_placed_by_themselves() -> None:
    random = np.random.default_rng(int(np.random.default_rng().integers(1 << 30)))
    cluster = random.integers(0, 4, 400)
    vectors = random.standard_normal((4, 16))[cluster] * 3 + random.standard_normal((400, 16))
    places = place(vectors.astype(np.float32), seed=0, landmarks=120)
    near = NearestNeighbors(n_neighbors=2).fit(places).kneighbors(places, return_distance=False)[:, 1]
    assert np.mean(cluster[near] == cluster) > 0.9
    assert np.abs(places).max() == pytest.approx(1, abs=1e-6)


def test_search_finds_words_and_ids(world: World, client: TestClient, drawn: Any) -> None:
    title = next(each for each in drawn["title"].to_pylist() if each and len(each.split()) > 1)
    words = title.split()[:2]
    found = client.get(f"{API}/search", params={"q": " ".join(words).upper(), "k": 200}).json()["products"]
    wanted = {
        product
        for product, each in zip(drawn["product_id"].to_pylist(), drawn["title"].to_pylist(), strict=True)
        if each and all(word.lower() in each.lower() for word in words)
    }
    assert {each["product_id"] for each in found} == wanted
    popular = [drawn["popularity"][each["row"]].as_py() for each in found]
    assert popular == sorted(popular, reverse=True)
    product = str(world.products["product_id"][7])
    (first, *_others) = client.get(f"{API}/search", params={"q": product}).json()["products"]
    assert first["product_id"] == product
    assert client.get(f"{API}/search", params={"q": "nothing of the kind"}).json() == {"products": []}
    rows = client.get(f"{API}/rows", params={"id": [product, "nobody"], "row": first["row"]}).json()
    assert rows == {"products": [first], "rows": [first["row"], None]}


def test_a_product_comes_with_its_edges(workspace: Workspace, client: TestClient, drawn: Any) -> None:
    pairs = pq.read_table(workspace.snapshot().table("copurchase")).to_pylist()
    product = pairs[0]["source"]
    told = client.get(f"{API}/product/{product}").json()
    after = {row["target"]: row["count"] for row in pairs if row["source"] == product}
    before = {row["source"]: row["count"] for row in pairs if row["target"] == product}
    ties = [tie for tie in told["ties"] if tie["kind"] != "viewed"]
    together = Counter(after) + Counter(before)
    assert len(after) <= 30
    assert len(before) <= 30
    told_counts: Counter[str] = Counter()
    for tie in ties:
        told_counts[tie["product_id"]] += tie["count"]
    assert told_counts == together
    assert drawn["product_id"][told["row"]].as_py() == product
    assert all(drawn["product_id"][tie["row"]].as_py() == tie["product_id"] for tie in ties)
    unknown = client.get(f"{API}/product/nobody")
    assert (unknown.status_code, unknown.json()["hint"]) == (
        404,
        "ids are matched letter for letter; search for its title",
    )


def test_two_releases_are_compared_as_they_answer(world: World, client: TestClient, drawn: Any) -> None:
    told = client.get(f"{API}/compare", params={"release": "v1", "other": "v2"}).json()
    ids = np.array(world.products["product_id"])
    everything = np.ones(len(ids), bool)
    share = {
        str(each): 1
        - len({*world.best(0, each, 10, everything)} & {*world.best(1, each, 10, everything)}) / 10
        for each in ids
    }
    assert told["asked"] == 300
    assert told["changed_items"] == pytest.approx(np.mean([*share.values()]), abs=0.01)
    assert told["changed_lists"] == pytest.approx(np.mean([each > 0 for each in share.values()]), abs=0.01)
    most = [each["share"] for each in told["most"]]
    assert most == sorted(most, reverse=True)
    assert all(share[each["product_id"]] == pytest.approx(each["share"], abs=0.11) for each in told["most"])
    one, other = told["sides"]
    assert (one["release"]["name"], one["release"]["state"]) == ("v1", "live")
    assert one["gates"]["live"] is None
    assert other["gates"] is None
    assert one["metrics"] == {"related: mrr_at_10": 0.25}
    assert {run["page"] for run in one["runs"]} == {None}, "SQLite has no pages"
    same = client.get(f"{API}/compare", params={"release": "v2", "other": "v2"}).json()
    assert (same["changed_lists"], same["most"]) == (0, [])
    assert changes.K == 10


def test_what_is_not_there_is_said(client: TestClient, drawn: Any) -> None:
    for path, parameters in (
        ("map", {"release": "v9"}),
        ("values", {"column": "colour"}),
        ("rows", {"row": 300}),
        ("picture", {"run": "0" * 32, "name": "x.png"}),
    ):
        answer = client.get(f"{API}/{path}", params=parameters)
        assert answer.status_code in (404, 503), answer.text
        assert answer.json()["hint"]
    product = drawn["product_id"][0].as_py()
    assert client.get(f"{API}/image/{product}").status_code == 404, "the store has no images"


def test_a_slow_opening_holds_up_those_alone_who_ask_for_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer, open_really = Explorer(workspace), Explorer._open
    begun, may_end, asked = threading.Event(), threading.Event(), []

    def open_slowly(self: Explorer, release: Release, folder: Path, token: str) -> Explored:
        asked.append(release.label)
        if len(asked) == 1:
            raise OSError("no such folder")
        if len(asked) == 2:
            begun.set()
            assert may_end.wait(30)
        return open_really(self, release, folder, token)

    monkeypatch.setattr(Explorer, "_open", open_slowly)
    with pytest.raises(OSError, match="no such folder"):
        explorer.open("v1")
    with ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(explorer.open, "v1")]
        assert begun.wait(30), "an opening that failed is tried again"
        slow.append(pool.submit(explorer.open, "v1"))
        assert pool.submit(explorer.open, "v2").result(30).release.number == 2
        assert not any(each.done() for each in slow)
        may_end.set()
        assert slow[0].result(30) is slow[1].result(30) is explorer.open("v1")
    assert [label.partition("@")[2] for label in asked] == ["v1", "v1", "v2"]


def test_the_page_needs_no_key_and_its_data_does(workspace: Workspace, drawn: Any) -> None:
    keys = Keys({"shop": KeySettings(sha256=digest_of("secret"))})
    client = TestClient(create_app(open_answerer(workspace), keys=keys, workspace=workspace))
    page = client.get("/explore")
    assert page.status_code == 200
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    for name in ("main.js", "scatterplot.js", "style.css", "icon.svg", "scatterplot.LICENSES.txt"):
        asset = client.get(f"/explore/assets/{name}")
        assert asset.status_code == 200, name
        tag = {"if-none-match": asset.headers["etag"]}
        assert client.get(f"/explore/assets/{name}", headers=tag).status_code == 304
    assert client.get("/explore/assets/page.py").status_code == 404
    assert client.get("/explore/assets/..%2fpage.py").status_code == 404
    assert client.get(f"{API}/releases").status_code == 401
    allowed = client.get(f"{API}/releases", headers={"authorization": "Bearer secret"}).json()["releases"]
    assert [(each["name"], each["state"]) for each in allowed] == [("v2", "ready"), ("v1", "live")]


def test_thumbnails_are_of_the_catalogue_only(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    red = np.tile(np.linspace(100, 255, 300), (200, 1))[..., None] * np.array([1, 0.1, 0.1])
    Image.fromarray(red.astype(np.uint8)).save(tmp_path / "pictures" / "red.png")
    Image.new("RGB", (30, 20)).save(tmp_path / "secret.png")
    opened = workspace.snapshot()
    snapshot = Snapshot(opened.id, opened.path, True, str(tmp_path / "pictures"), {}, opened.created_at)
    thumbnails = Thumbnails(ImageSettings())
    shown = Image.open(io.BytesIO(thumbnails(snapshot, "red.png")))
    assert shown.format == "JPEG"
    middle = np.asarray(shown)[shown.height // 2, shown.width // 2]
    assert middle == pytest.approx(red[100, 150], abs=30)
    for name in ("../secret.png", "gone.png", str(tmp_path / "secret.png")):
        with pytest.raises(NoPictureError):
            thumbnails(snapshot, name)


def test_atlas_has_places_and_exact_neighbours(
    world: World, home: Path, workspace: Workspace, drawn: Any, tmp_path: Path
) -> None:
    file = tmp_path / "atlas.parquet"
    arguments = ["export", "atlas", "related@v1", str(file), "--role", "source", "--neighbours", "5"]
    made = CliRunner().invoke(app, arguments, env={"TWINVEC_HOME": str(home)})
    assert made.exit_code == 0, made.output
    table = pq.read_table(file)
    assert table["x"].to_pylist() == drawn["source_x"].to_pylist()
    order = np.argsort([str(each) for each in world.products["product_id"]])
    unit = world.vectors[0][0][order]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    cosine = unit @ unit.T - 9 * np.eye(len(unit))
    for row, found in enumerate(table["neighbors"].to_pylist()):
        assert found["ids"] == np.argsort(-cosine[row])[:5].tolist()
        np.testing.assert_allclose(found["distances"], 1 - np.sort(cosine[row])[::-1][:5], atol=1e-5)
    refused = CliRunner().invoke(app, [*arguments[:4], "--role", "other"], env={"TWINVEC_HOME": str(home)})
    assert refused.exit_code == 1
    assert "it has source, target" in refused.output


def test_neighbours_of_few_vectors_are_all_others() -> None:
    ((first, ids, distances),) = nearest(np.eye(3, 4, dtype=np.float32), 15)
    assert (first, ids.shape) == (0, (3, 2))
    assert [sorted(row) for row in ids.tolist()] == [[1, 2], [0, 2], [0, 1]]
    np.testing.assert_allclose(distances, 1)
