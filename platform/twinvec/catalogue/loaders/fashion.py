"""The metadata of fashion-product-images: `styles.csv`, a taxonomy of three levels with titles.

It names no product that comes twice. So a product stands for the articles of one type, gender and first word of the
title (mostly the brand), a family for those of one type, and each row is a listing: weak labels to learn and to judge a
hierarchy by.
"""

from __future__ import annotations

from pathlib import Path

from twinvec.catalogue.loaders import flat
from twinvec.catalogue.loaders.staging import LoaderContext, StagedTables

COLUMNS = flat.Columns(
    ("id", "gender", "mastercategory", "subcategory", "articletype", "productdisplayname"),
    ("basecolour", "season", "usage", "image"),
)
PRODUCT = "concat_ws('/', articletype, gender, lower(split_part(trim(productdisplayname), ' ', 1)))"


def load(source: Path, context: LoaderContext) -> StagedTables:
    """Stage products and listings of `styles.csv`, or of the folder that it is in.

    Raises:
        CatalogueError: If the file cannot be read or lacks a column.
    """
    path = source / "styles.csv" if source.is_dir() else source
    staged = flat.stage(path, COLUMNS, context)
    category = "[mastercategory, subcategory]"
    products = f"""
        SELECT product_id, MAP {{'en': trim(productdisplayname)}} AS title, {category} AS category,
               NULL::DOUBLE AS price, NULL::VARCHAR AS currency, 'default' AS marketplace, NULL::VARCHAR AS brand,
               image, line, text, reason
        FROM (
            SELECT *, {PRODUCT} AS product_id,
                   row_number() OVER (PARTITION BY {PRODUCT}, reason IS NULL ORDER BY line) AS place FROM {staged}
        ) WHERE place = 1 OR reason IS NOT NULL"""
    listings = f"""
        SELECT trim(id) AS item_id, {PRODUCT} AS product_id, articletype AS family_id, 'default' AS marketplace,
               'en' AS language, trim(productdisplayname) AS title, NULL::VARCHAR AS description,
               NULL::VARCHAR AS brand, basecolour AS colour, NULL::VARCHAR AS size,
               map_from_entries(list_filter([
                   {{'key': 'gender', 'value': gender}}, {{'key': 'season', 'value': season}},
                   {{'key': 'usage', 'value': usage}}], lambda each: each.value <> '')) AS attributes,
               NULL::DOUBLE AS price, NULL::VARCHAR AS currency, {category} AS category, image, line, text, reason
        FROM {staged}"""
    return StagedTables(
        {"products": products, "listings": listings}, directed=False, image_root=str(path.parent)
    )
