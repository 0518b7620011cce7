"""The fashion taxonomy as listings in three levels."""

from __future__ import annotations

from pathlib import Path

from tests.catalogue.conftest import Ingest

STYLES = """id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName,image
1,Men,Apparel,Topwear,Shirts,Navy Blue,Fall,2011,Casual,Turtle Check Men Navy Blue Shirt,1.jpg
2,Men,Apparel,Topwear,Shirts,Red,Fall,2011,,TURTLE Men Red Shirt,2.jpg
3,Women,Apparel,Topwear,Shirts,Red,Fall,2011,Casual,Turtle Women Shirt,3.jpg
4,Women,Accessories,Watches,Watches,Silver,Winter,2016,Casual,Titan Women Silver Watch,4.jpg
5,Men,Apparel
"""


def test_products_are_of_one_type_gender_and_first_word(tmp_path: Path, ingest_into: Ingest) -> None:
    (tmp_path / "styles.csv").write_text(STYLES, encoding="utf-8")
    report = ingest_into(tmp_path / "styles.csv", "fashion", max_quarantined=0.5)
    assert report.quarantined["products"] == report.quarantined["listings"] == {"3 fields in place of 11": 1}
    with report.snapshot.connect() as connection:
        rows = connection.sql(
            "SELECT item_id, product_id, family_id, category, colour, attributes FROM listings"
        )
        products = connection.sql("SELECT product_id, title['en'] FROM products").fetchall()
        kept = rows.fetchall()
    assert kept[:2] == [
        ("1", "Shirts/Men/turtle", "Shirts", ["Apparel", "Topwear"], "Navy Blue",
         {"gender": "Men", "season": "Fall", "usage": "Casual"}),
        ("2", "Shirts/Men/turtle", "Shirts", ["Apparel", "Topwear"], "Red", {"gender": "Men", "season": "Fall"}),
    ]  # fmt: skip
    assert products == [
        ("Shirts/Men/turtle", "Turtle Check Men Navy Blue Shirt"),
        ("Shirts/Women/turtle", "Turtle Women Shirt"),
        ("Watches/Women/titan", "Titan Women Silver Watch"),
    ]
