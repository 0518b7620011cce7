"""Lists with filters against a plain loop, and answers that are kept."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from tests.serving.conftest import CURRENCY
from twinvec.serving.answering import Answerer, Question
from twinvec.serving.api import create_app
from twinvec.serving.attributes import AttributeFile
from twinvec.serving.http.kept import OVERHEAD, KeptAnswers, Written
from twinvec.serving.http.service import write
from twinvec.serving.listed import ListedProducts
from twinvec.serving.rules import Rules
from twinvec.settings.serving import ServingSettings
from twinvec.vectors import Filters
from twinvec.vectors.lists import NONE, Lists

GONE = "B0001a"


def listed(live: Any, seed: int) -> tuple[ListedProducts, Lists]:
    """Random lists of all products, and of one that has no point."""
    random = np.random.default_rng(seed)
    markets = dict(zip(live.ids, live.marketplace.tolist(), strict=True)) | {GONE: "us"}
    names = sorted(markets)
    targets = np.full((len(names), 70), NONE, np.int32)
    for row in range(len(names)):
        others = random.permutation(np.delete(np.arange(len(names)), row))[: random.integers(0, 71)]
        targets[row, : len(others)] = others
    scores = -np.sort(-random.standard_normal(targets.shape).astype(np.float32), axis=1)
    column = pa.array([markets[name] for name in names]).dictionary_encode()
    lists = Lists(pa.array(names), column.cast(pa.dictionary(pa.int32(), pa.string())), targets, scores)
    return ListedProducts(live.index, "related_products__v1", lists, None), lists


@pytest.mark.parametrize("shop", ["edge"], indirect=True)
@pytest.mark.parametrize("ahead", [False, True])
def test_a_list_under_filters_is_that_of_a_loop(live: Any, ahead: bool) -> None:
    seed = secrets.randbits(32)
    products, lists = listed(live, seed)
    if ahead:
        products.read_all()
    names = lists.product_ids.to_pylist()
    place = {name: row for row, name in enumerate(live.ids)}

    def wanted(row: int, k: int, filters: Filters) -> list[tuple[str, float]]:
        chosen = []
        for target, score in zip(lists.targets[row].tolist(), lists.scores[row].tolist(), strict=True):
            at = place.get(names[target]) if target != NONE else None
            if at is None:
                continue
            market, price = live.marketplace[at], live.price[at]
            if (
                (not filters.category or {"All", live.category[at]} & set(filters.category))
                and (not filters.marketplace or market in filters.marketplace)
                and (not filters.currency or CURRENCY[market] in filters.currency)
                and (filters.min_price is None or price >= filters.min_price)
                and (filters.max_price is None or price <= filters.max_price)
            ):
                chosen.append((live.ids[at], score))
        return chosen[:k]

    questions = [
        Filters(),
        Filters(marketplace=("us",)),
        Filters(category=("Hats",)),
        Filters(category=("All",), currency=("EUR",)),
        Filters(category=("Hats", "Bags"), marketplace=("es", "uk"), min_price=10, max_price=60),
        Filters(category=("Nothing",)),
    ]
    for row in range(0, len(names), 7):
        for k, filters in enumerate(questions, 3):
            hits = products.best(row, k, filters)
            assert [(hit.product.product_id, hit.score) for hit in hits] == wanted(row, k, filters), seed
            assert all(hit.listed for hit in hits)
    gone = products.row(GONE)
    assert gone is not None
    assert products.product(gone) is None
    assert products.row("nobody") is None


@pytest.mark.parametrize("shop", ["edge"], indirect=True)
@pytest.mark.parametrize("own", [False, True])
def test_answers_written_at_once_are_those_of_single_questions(live: Any, own: bool) -> None:
    seed = secrets.randbits(32)
    products, _ = listed(live, seed)
    collection = products.collection
    recommender = replace(live.recommender, _opened=[((collection, products),)])
    answerer = Answerer(recommender, Rules(own_marketplace=own))
    asked = [*live.ids[::3], "nobody", GONE]
    for question in (
        Question(),
        Question(3, Filters(category=("Hats",))),
        Question(2, Filters(max_price=50)),
    ):
        written = answerer.written(asked, question, collection)
        assert len(written) > 20, seed
        for name in live.ids[::3]:
            answer = answerer.related(name, question, collection)
            assert (answer.ranked == question.k) == (name in written), seed
            assert written.get(name, write(answer)) == write(answer), seed
        assert not {"nobody", GONE} & written.keys()
        (alone,) = answerer.written(asked[:1], question, collection).items() or [(asked[0], None)]
        assert alone == (asked[0], written.get(asked[0]))
    for other in (Question(fields=("brand",)), Question(rules=Rules(max_per_brand=1))):
        assert answerer.written(asked, other, collection) == {}


def test_answers_are_kept_within_bounds() -> None:
    kept = KeptAnswers(3 * (30 + OVERHEAD))
    answers = {name: Written(name.encode() * 30, False, None) for name in "abcd"}
    for name in "abc":
        kept.keep("kind", name, answers[name])
    assert kept.find("kind") == {name: answers[name] for name in "abc"}
    kept.keep("other", "d", answers["d"])  # no room: the others go
    assert (kept.find("kind"), kept.find("other")) == ({}, {"d": answers["d"]})
    kept.keep("other", "e", Written(b"e" * 3 * (30 + OVERHEAD), False, None))
    assert "e" not in kept.find("other")
    nothing = KeptAnswers(0)
    nothing.keep("kind", "a", answers["a"])
    assert nothing.find("kind") == {}


def unknown(client: TestClient) -> float:
    """The number of unknown products that were counted."""
    found = re.search(r'twinvec_fallbacks_total\{kind="unknown"\} (\S+)', client.get("/metrics").text)
    return float(found[1]) if found else 0


@pytest.mark.parametrize("shop", ["edge"], indirect=True)
def test_a_kept_answer_is_of_its_release_question_and_attributes(live: Any, tmp_path: Path) -> None:
    file = tmp_path / "stock.csv"

    def write(text: str) -> None:
        (tmp_path / "new.csv").write_text(f"product_id,stock\n{live.best(1, 9, 1)[0]},{text}\n", "utf-8")
        (tmp_path / "new.csv").rename(file)

    write("few")
    answerer = replace(live.answerer, attributes=AttributeFile(file))
    client = TestClient(create_app(answerer, ServingSettings(log=False)))
    plain = TestClient(create_app(answerer, ServingSettings(log=False, cache=0)))

    def same(query: str) -> Any:
        answers = [each.get(f"/related/B0009?{query}") for each in (plain, client, client)]
        assert answers[0].content == answers[1].content == answers[2].content
        return answers[2].json()

    first = same("k=3&fields=stock")
    assert first["hits"][0]["product"]["fields"] == {"stock": "few"}
    assert same("k=3")["hits"][0]["product"]["fields"] is None
    write("many")
    assert same("k=3&fields=stock")["hits"][0]["product"]["fields"] == {"stock": "many"}
    assert same("k=4&category=Hats")["hits"] != same("k=4")["hits"]
    live.go_live(2)
    assert same("k=3&fields=stock")["release"] == "related_products__v2"
    live.go_live(1)
    assert same("k=3&fields=stock")["release"] == "related_products__v1"
    before = unknown(client)
    batch = {"ids": ["B0009", "nobody", "B0010", "B0009"], "k": 3}
    answers = client.post("/related/batch", json=batch).json()["answers"]
    assert answers[0] == answers[3] == same("k=3")
    assert (answers[1]["hits"], answers[1]["fallback"]) == ([], "unknown")
    # Nothing that was kept hides that the product is unknown.
    assert client.get("/related/nobody?k=3").status_code == 404
    assert unknown(client) == before + 1
