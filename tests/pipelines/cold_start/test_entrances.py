"""New products by the command and over HTTP: the answers of the Python function, and one message for each mistake."""

from __future__ import annotations

import base64
import json
import zipfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from pipelines.cold_start.service import ColdStart
from pipelines.command import app
from twinvec.serving.answering import Answerer
from twinvec.serving.api import create_app
from twinvec.serving.http.parameters import RelatedParameters
from twinvec.serving.related import NewProduct, Recommender
from twinvec.vectors import Filters
from twinvec.workspace import Workspace

pytestmark = pytest.mark.slow
TITLE = "Waterproof trail shoe, red"


@pytest.fixture
def photo(shop: Any) -> bytes:
    name, archive = next(each for each in shop.products["image"] if each).removeprefix("zip://").split("::")
    with zipfile.ZipFile(shop.store / archive) as file:
        return file.read(name)


@pytest.fixture
def client(workspace: Workspace) -> TestClient:
    recommender = Recommender(workspace.index, workspace.settings.release, workspace.settings.qdrant.ef)
    return TestClient(create_app(Answerer(recommender, cold_start=ColdStart(workspace))))


@pytest.fixture
def home(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TWINVEC_HOME", str(workspace.settings.home))
    return workspace.settings.home


def words(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def plain(answer: Any) -> Any:
    """An answer as JSON has it, scores rounded."""
    values = answer if isinstance(answer, dict) else json.loads(orjson.dumps(answer))
    for hit in values["hits"]:
        hit["score"] = round(hit["score"], 3)
    return values


def test_a_new_product_over_http(shop: Any, workspace: Workspace, client: TestClient, photo: bytes) -> None:
    category = " > ".join(shop.products["category"][0])
    image = base64.b64encode(photo).decode()
    answer = client.post("/related?k=4", json={"title": TITLE, "category": category, "image": image})
    assert answer.status_code == 200, answer.text
    cold_start = ColdStart(workspace)
    assert plain(answer.json()) == plain(cold_start.related(NewProduct(TITLE, category, photo), 4))
    assert answer.json()["product"] == {
        "product_id": None,
        "title": TITLE,
        "category": shop.products["category"][0],
        **dict.fromkeys(
            ["price", "marketplace", "currency", "brand", "image", "link", "fields"],
        ),
    }
    department = shop.products["category"][7][0]
    chosen = client.post(
        f"/related?k=3&category={department}&max_price=40&currency=USD", json={"title": TITLE}
    ).json()
    filters = Filters(category=(department,), max_price=40, currency=("USD",))
    assert plain(chosen) == plain(cold_start.related(NewProduct(TITLE), 3, filters))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "nothing is said of the product"),
        ({"title": ""}, "body.title: String should have at least 1 character"),
        ({"title": "\ud800"}, "body.title: "),
        ({"title": None}, "body.title: Input should be a valid string"),
        ({"title": "x" * 2001}, "at most 2000 characters"),
        ({"category": "Nowhere"}, "no category 'Nowhere'"),
        ({"title": "x", "image": base64.b64encode(b"not an image").decode()}, "not an image"),
        ({"title": "x", "image": "abc"}, "body.image: "),
        ({"name": "x"}, "body.name: there is no such parameter"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(client: TestClient, body: dict[str, str], says: str) -> None:
    content = json.dumps(body)  # \ud800 stays an escape, as a caller may write it
    answer = client.post("/related", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert says in answer.json()["detail"]
    assert len(answer.text) < 400  # without the input


def test_the_api_describes_new_products(client: TestClient) -> None:
    related = client.get("/openapi.json").json()["paths"]["/related"]["post"]
    names = {parameter["name"] for parameter in related["parameters"]}
    assert names == set(RelatedParameters.model_fields)
    assert {"200", "400", "404", "422", "503"} <= set(related["responses"])


def test_a_new_product_on_the_command_line(
    shop: Any, workspace: Workspace, home: Path, tmp_path: Path, photo: bytes
) -> None:
    leaf = shop.products["category"][0][-1]
    file = tmp_path / "photo.png"
    file.write_bytes(photo)
    arguments = ("related", "--title", TITLE, "--category", leaf, "--image", str(file), "-k", "6")
    printed = words(*arguments, "--json")
    assert printed.exit_code == 0, printed.stderr
    wanted = ColdStart(workspace).related(NewProduct(TITLE, leaf, photo), 6)
    assert plain(json.loads(printed.stdout)) == plain(wanted)
    department = shop.products["category"][7][0]
    table = words("related", "--title", TITLE, "--in-category", department, "-k", "2").stdout
    filtered = ColdStart(workspace).related(NewProduct(TITLE), 2, Filters(category=(department,)))
    assert f"Related to {TITLE} in related_products__v1" in table
    assert all(str(hit.product.product_id) in table for hit in filtered.hits)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--title", ""], "the title is empty"),
        (["--title", "x", "--category", "Nowhere"], "no category 'Nowhere'"),
        (["--title", "x", "--image", "missing.png"], "the image missing.png cannot be read: No such file"),
        (["--title", "x", "--image", "."], "the image . cannot be read: Is a directory"),
        (["--image", __file__], "the image cannot be used: not an image"),
    ],
)
def test_a_mistake_is_one_message(home: Path, arguments: list[str], says: str) -> None:
    result = words("related", *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    message, hint = result.stderr.strip().splitlines()[-2:]
    assert message.startswith("error: ")
    assert says in message
    assert hint.startswith("  hint: ")
