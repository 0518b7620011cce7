import csv
import itertools
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"
MUSIC = DATA / "amazon_digital_music" / "meta_Digital_Music.json.gz"
GROCERIES = DATA / "groceries" / "groceries.csv"


@pytest.mark.skipif(not MUSIC.exists(), reason=f"needs {MUSIC.name}")
def test_digital_music(ingest_into: Any) -> None:
    report = ingest_into(MUSIC, "amazon-2014")
    assert report.snapshot.tables == {"products": 7_419, "copurchase": 36_593, "coview": 4_611}
    assert report.quarantined["products"] == {}
    with report.snapshot.connect() as connection:

        def one(query: str) -> Any:
            return connection.execute(query).fetchall()[0]

        product = one("SELECT title, category, price, image FROM products WHERE product_id = '5555991584'")
        described = one("SELECT count(title), count(price), count(brand), count(image) FROM products")
        mutual = one(
            "SELECT count(*) FROM copurchase a JOIN copurchase b ON a.source=b.target AND a.target=b.source"
        )
    assert product == (
        {"en": "Memory of Trees"},
        ["CDs & Vinyl", "New Age", "Celtic New Age"],
        9.49,
        "http://ecx.images-amazon.com/images/I/51b5WDjdhPL._SX300_.jpg",
    )
    assert described[1] == 7_395
    assert described[3] <= 7_418
    assert 0.3 < mutual[0] / 36_593 < 0.45


@pytest.mark.skipif(not GROCERIES.exists(), reason=f"needs {GROCERIES.name}")
def test_groceries_pairs_are_those_a_loop_counts(ingest_into: Any) -> None:
    columns = {"order_id": "Person", "product_id": "item", "category": "item"}
    snapshot = ingest_into(GROCERIES, "orders", columns=columns).snapshot
    assert (snapshot.tables["products"], snapshot.tables["orders"]) == (169, 43_367)
    baskets = defaultdict(set)
    with GROCERIES.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            baskets[row["Person"]].add(row["item"].strip())  # `cream cheese ` is one
    expected: Counter[tuple[str, str]] = Counter()
    for basket in baskets.values():
        expected.update(itertools.combinations(sorted(basket), 2))
    with snapshot.connect() as connection:
        found = connection.execute("FROM copurchase").fetchall()
        assert connection.execute("SELECT DISTINCT len(category) FROM products").fetchall() == [(1,)]
    assert {(source, target): count for source, target, count in found} == expected
