"""Rules against brute force over the catalogue: what is shown, and in what order."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from twinvec.serving.answering import Answerer, Question
from twinvec.serving.api import create_app
from twinvec.serving.attributes import AttributeFile
from twinvec.serving.http.answers import RelatedAnswer
from twinvec.serving.related import UnknownProductError, UnusableProductError
from twinvec.serving.rules import Boost, Condition, Rules, diverse
from twinvec.settings.serving import RuleSettings, ServingSettings
from twinvec.vectors import Filters

ROW = 9


def ids(answer: Any) -> list[str]:
    return [hit.product.product_id for hit in answer.hits]


def asked(live: Any, k: int = 7, filters: Filters | None = None, **rules: Any) -> list[str]:
    question = Question(k, filters or Filters(), Rules(**rules))
    return ids(live.answerer.related(live.ids[ROW], question))


def test_exclusions_conditions_and_least_scores(live: Any) -> None:
    best = live.best(1, ROW, 211)
    assert asked(live, exclude=tuple(best[:3])) == best[3:10]
    where = (Condition.parse("brand:Acme"), Condition.parse("price>=40"))
    allowed = (live.brand == "Acme") & (live.price >= 40)
    assert asked(live, where=where) == live.best(1, ROW, 7, allowed)
    assert asked(live, where=(Condition.parse("category!=Hats"),)) == live.best(
        1, ROW, 7, live.category != "Hats"
    )
    scores = live.target[0] @ live.source[0][ROW]
    least = float(np.sort(np.delete(scores, ROW))[-4] - 1e-4)
    assert asked(live, min_score=least) == best[:4]


def test_the_own_marketplace_is_the_default(live: Any) -> None:
    own = live.marketplace == live.marketplace[ROW]
    answerer = replace(live.answerer, defaults=Rules())
    assert ids(answerer.related(live.ids[ROW], Question(6))) == live.best(1, ROW, 6, own)
    anywhere = Question(6, Filters(marketplace=("*",)))
    assert ids(answerer.related(live.ids[ROW], anywhere)) == live.best(1, ROW, 6)


def test_a_price_is_compared_in_one_currency(live: Any) -> None:
    own = live.marketplace == live.marketplace[ROW]  # a marketplace has a currency here
    assert asked(live, filters=Filters(max_price=50)) == live.best(1, ROW, 7, own & (live.price <= 50))
    other = {"us": "EUR", "es": "USD"}[live.marketplace[ROW]]
    filters = Filters(max_price=50, currency=(other,))
    assert asked(live, filters=filters) == live.best(1, ROW, 7, ~own & (live.price <= 50))
    with pytest.raises(UnusableProductError, match="there are EUR, USD"):
        live.answerer._filters("related_products__v1", Question(filters=Filters(max_price=5)), Rules(), None)


def test_boosts_move_by_places(live: Any) -> None:
    n, best = 50, live.best(1, ROW, 50)
    for rule, sign in (("brand:Acme*0.4", 1), ("brand:Acme*0.4", -1)):
        place = {
            name: 1 - at / n + sign * 0.4 * (live.brand[live.ids.index(name)] == "Acme")
            for at, name in enumerate(best)
        }
        expected = sorted(best, key=lambda name: -place[name])[:7]
        assert asked(live, boost=(Boost.parse(rule, sign),)) == expected


def test_pins_come_first_and_brands_are_bounded(live: Any) -> None:
    best = live.best(1, ROW, 211)
    pinned = (best[100], best[2])
    shown = asked(live, pin=pinned, max_per_brand=2, max_per_category=3, k=9)
    assert tuple(shown[:2]) == pinned
    rows = [live.ids.index(name) for name in shown[2:]]
    assert max(Counter(live.brand[rows]).values()) <= 2
    assert max(Counter(live.category[rows]).values()) <= 3
    assert shown[2] == best[0]


def test_diversity_is_maximal_marginal_relevance() -> None:
    seed = secrets.randbits(32)
    random = np.random.default_rng(seed)
    for n, k, weight in ((1, 5, 0.5), (13, 13, 0.3), (40, 9, 0.8)):
        vectors = random.standard_normal((n, 5)).astype(np.float32)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        chosen: list[int] = []
        while len(chosen) < min(k, n):
            values = {
                each: (1 - weight) * (1 - each / n)
                - weight * (max(float(unit[each] @ unit[other]) for other in chosen) if chosen else 0)
                for each in range(n)
                if each not in chosen
            }
            chosen.append(max(values, key=lambda each: values[each]))
        assert diverse(vectors, weight, k) == chosen, f"seed {seed}"


def test_attributes_change_without_a_restart(live: Any, tmp_path: Path) -> None:
    file = tmp_path / "stock.csv"
    best = live.best(1, ROW, 211)

    def write(in_stock: set[str]) -> None:
        lines = [f'"{name}",{str(name in in_stock).lower()}' for name in live.ids]
        (tmp_path / "new.csv").write_text("product_id,in_stock\n" + "\n".join(lines), encoding="utf-8")
        (tmp_path / "new.csv").rename(file)

    write(set(best[5:9]))
    answerer = replace(live.answerer, attributes=AttributeFile(file))
    question = Question(
        3, rules=Rules(where=(Condition.parse("in_stock:true"),)), fields=("in_stock", "brand")
    )
    answer = answerer.related(live.ids[ROW], question)
    assert ids(answer) == best[5:8]
    brand = live.brand[live.ids.index(best[5])]
    assert answer.hits[0].product.fields == {"in_stock": True, "brand": brand}
    write(set(best[50:52]))
    assert ids(answerer.related(live.ids[ROW], question)) == best[50:52]


def test_an_attribute_that_no_candidate_has_is_no_typing_error(live: Any, tmp_path: Path) -> None:
    file = tmp_path / "stock.csv"
    file.write_text("product_id,in_stock\nanother,true\n", encoding="utf-8")
    answerer = replace(live.answerer, attributes=AttributeFile(file))
    known, mistyped = (
        Question(3, rules=Rules(where=(Condition.parse(text),))) for text in ("in_stock:true", "in_stok:true")
    )
    assert ids(answerer.related(live.ids[ROW], known)) == []
    with pytest.raises(UnusableProductError, match="no product has a field 'in_stok'"):
        answerer.related(live.ids[ROW], mistyped)


def test_a_batch_is_its_single_answers_and_a_basket_merges_them(live: Any) -> None:
    names, question = live.ids[3:6], Question(5)
    answers = live.answerer.batch([*names, "nobody"], question)
    assert [ids(each) for each in answers[:3]] == [
        ids(live.answerer.related(name, question)) for name in names
    ]
    assert (answers[3].hits, answers[3].fallback) == ((), "unknown")
    scores: Counter[str] = Counter()
    for name in names:
        for place, other in enumerate(live.best(1, live.ids.index(name), 50), 1):
            scores[other] += 1 / (60 + place)  # type: ignore[assignment]
    expected = sorted((each for each in scores if each not in names), key=lambda each: -scores[each])[:5]
    merged = live.answerer.basket([*names, "nobody"], question)
    assert [hit.score for hit in merged.hits] == pytest.approx([scores[each] for each in expected])
    with pytest.raises(UnknownProductError):
        live.answerer.basket(["nobody"], question)


def test_the_settings_lie_beneath_the_question(live: Any) -> None:
    from twinvec.serving.opening import rules_of

    best = live.best(1, ROW, 211)
    settings = RuleSettings(own_marketplace=False, exclude=(best[0],), max_per_brand=1, bury=("brand:Cord",))
    answerer = Answerer(live.recommender, rules_of(settings))
    client = TestClient(create_app(answerer, ServingSettings(log=False)))
    shown = client.get(f"/related/{live.ids[ROW]}?k=9&exclude={best[1]}").json()
    rows = [live.ids.index(hit["product"]["product_id"]) for hit in shown["hits"]]
    assert not {live.ids.index(best[0]), live.ids.index(best[1])} & set(rows)
    assert sorted(live.brand[rows]) == ["Acme", "Blue", "Cord"]
    assert live.brand[rows[-1]] == "Cord"
    more = client.get(f"/related/{live.ids[ROW]}?k=9&max_per_brand=3").json()
    assert len(more["hits"]) == 9
    # What is sent is what the description says, field by field.
    RelatedAnswer.model_validate(shown)
    assert RelatedAnswer.model_validate(more).model_dump(mode="json") == more
