from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.serving.conftest import CURRENCY
from twinvec.serving.api import create_app
from twinvec.serving.http.parameters import RelatedParameters
from twinvec.vectors.server import ServerIndex, connect


@pytest.fixture
def client(live: Any) -> TestClient:
    return TestClient(create_app(live.answerer))


def test_related_products_over_http(live: Any, client: TestClient) -> None:
    answer = client.get("/related/B0009", params={"k": 4})
    assert answer.status_code == 200
    body = answer.json()
    assert body["release"] == "related_products__v1"
    assert body["product"] == {
        "product_id": "B0009",
        "title": None,
        "category": ["All", live.category[9]],
        "price": None if np.isnan(live.price[9]) else live.price[9],
        "marketplace": live.marketplace[9],
        "currency": CURRENCY[live.marketplace[9]],
        "brand": live.brand[9],
        "image": None,
        "link": None,
        "fields": None,
    }
    assert [hit["product"]["product_id"] for hit in body["hits"]] == live.best(1, 9, 4)
    assert sorted((hit["score"] for hit in body["hits"]), reverse=True) == [
        hit["score"] for hit in body["hits"]
    ]


def test_filters_over_http(live: Any, client: TestClient) -> None:
    query = "category=Hats&category=Boots&marketplace=us&currency=USD&min_price=5&max_price=70.5"
    hits = client.get(f"/related/B0003?k=6&{query}").json()["hits"]
    allowed = np.isin(live.category, ["Hats", "Boots"]) & (live.marketplace == "us")
    allowed &= (live.price >= 5) & (live.price <= 70.5)
    assert [hit["product"]["product_id"] for hit in hits] == live.best(1, 3, 6, allowed)


def test_any_product_id_can_be_asked_for(live: Any, client: TestClient) -> None:
    for path in (quote(live.ids[-1], safe=""), quote(live.ids[-1], safe="/")):
        body = client.get(f"/related/{path}", params={"k": 1}).json()
        assert body["product"]["product_id"] == live.ids[-1]


@pytest.mark.parametrize(
    "body",
    [
        b'{"ids": ["B0003", "nobody", "B0003"], "k": 3, "category": ["Hats"]}',
        b'{"ids": ["B0003"], "max_price": NaN}',
        b'{"ids": ["B0003"], "colour": "red"}',
        b'{"ids": []}',
        b'["B0003"]',
        b'{"ids":',
    ],
)
def test_the_short_way_of_a_body_answers_as_the_framework_does(client: TestClient, body: bytes) -> None:
    short, long = (
        client.post("/related/batch", content=body, headers={"content-type": kind})
        for kind in ("application/json", "application/json; charset=utf-8")
    )
    assert short.status_code == long.status_code
    answers = [{**answer.json(), "request_id": None} for answer in (short, long)]
    assert answers[0] == answers[1]
    assert {"x-request-id", *short.headers} == {"x-request-id", *long.headers}


def test_a_new_live_release_answers_without_a_restart(live: Any, client: TestClient) -> None:
    for number in (1, 2, 1, 2):
        live.go_live(number)
        assert client.get("/ready").json() == {"status": "ok", "release": f"related_products__v{number}"}
        release = client.get("/release").json()
        assert release["products"] == 211
        assert release["metadata"]["version"] == f"related@v{number}"
        hits = client.get("/related/B0100?k=9").json()["hits"]
        assert [hit["product"]["product_id"] for hit in hits] == live.best(number, 100, 9)


def test_answers_are_never_mixed_while_releases_switch(live: Any, client: TestClient) -> None:
    wanted = {f"related_products__v{number}": live.best(number, 50, 10) for number in (1, 2)}
    done = threading.Event()
    seen: list[tuple[str, list[str]]] = []

    def read() -> None:
        while not done.is_set():
            body = client.get("/related/B0050?k=10").json()
            seen.append((body["release"], [hit["product"]["product_id"] for hit in body["hits"]]))

    reader = threading.Thread(target=read)
    reader.start()
    for switch in range(20):
        live.go_live(switch % 2 + 1)
        count = len(seen)
        while len(seen) < count + 2 and reader.is_alive():
            time.sleep(0.002)
    done.set()
    reader.join()
    assert {release for release, _ in seen} == set(wanted)
    assert all(hits == wanted[release] for release, hits in seen)


def test_errors_say_what_to_do(live: Any, client: TestClient) -> None:
    unknown = client.get("/related/nobody")
    assert unknown.status_code == 404
    assert "'nobody' is not among the 211" in unknown.json()["detail"]
    assert unknown.json()["hint"]
    for query in ("k=0", "k=1001", "k=x", "min_price=-1", "max_price=cheap"):
        assert client.get(f"/related/B0001?{query}").status_code == 422, query
    asleep = TestClient(
        create_app(replace(live.answerer, recommender=replace(live.recommender, release="asleep")))
    )
    for path in ("/ready", "/release", "/related/B0001"):
        answer = asleep.get(path)
        assert answer.status_code == 503
        assert answer.json()["detail"] == "no release of asleep is live"
        assert "twinvec promote" in answer.json()["hint"]


def test_a_fresh_stack_is_healthy_before_it_is_ready(live: Any) -> None:
    asleep = TestClient(
        create_app(replace(live.answerer, recommender=replace(live.recommender, release="asleep")))
    )
    assert asleep.get("/health").json() == {"status": "ok"}
    unreachable = ServerIndex(connect("http://127.0.0.1:1", None, 1))
    cut_off = TestClient(
        create_app(replace(live.answerer, recommender=replace(live.recommender, index=unreachable)))
    )
    assert cut_off.get("/health").json() == {"status": "ok"}
    assert cut_off.get("/ready").status_code == 503


def test_the_api_describes_itself(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    related = document["paths"]["/related/{product_id}"]["get"]
    names = {parameter["name"] for parameter in related["parameters"]}
    assert names == {"product_id", *RelatedParameters.model_fields}
    assert {"200", "404", "422", "429", "503"} <= set(related["responses"])
    assert document["components"]["securitySchemes"].keys() == {"bearer", "key"}
    for path in ("/docs", "/redoc"):
        page = client.get(path).text
        assert "//cdn" not in page
        assert client.get(re.findall(r'src="(/[^"]+js)"', page)[0]).status_code == 200
