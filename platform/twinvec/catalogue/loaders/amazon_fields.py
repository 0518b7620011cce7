"""Fields of an Amazon product, from the keys and shapes of all editions."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from twinvec.text import is_valid, valid


class Fields(NamedTuple):
    """Fields of a product, in the order of the staged columns.

    Attributes:
        product_id, family_id, title, category, price, brand, image: Values, None where there is none.
        bought, viewed: Ids of co-purchases and co-views.
        unusable: Reasons of the values that could not be used.
    """

    product_id: str | None
    family_id: str | None
    title: str | None
    category: list[str]
    price: str | None
    brand: str | None
    image: str | None
    bought: list[str]
    viewed: list[str]
    unusable: list[str]


IMAGES = ("imageURLHighRes", "imageURL", "imUrl", "image", "images")
SIZES = ("hi_res", "large", "thumb")
CATEGORIES = ("categories", "category")
# Every key that something is read from.
READ = frozenset(
    (
        *("asin", "parent_asin", "title", "price", "brand", "store", "related"),
        *("also_buy", "also_bought", "bought_together", "also_view", "also_viewed", "buy_after_viewing"),
        *(*IMAGES, *CATEGORIES),
    )
)
_HIDDEN = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
# Some titles of 2018 are pieces of the page's script or style sheet.
_SCRIPT = re.compile(r"getTime\(|^\s*(?:var\s+\w+\s*=|function\s*\(|[.#][\w-]+[^{}]*\{)")
# No number of a product has more digits; Python refuses to write one of 4,300.
_LARGEST = 10**30


def reader(edition: str) -> Callable[[dict[str, Any]], tuple[Fields, str | None]]:
    """Return a function from a row to its fields, and the reason if it has no usable id."""
    families = edition == "amazon-2023"

    def read(row: dict[str, Any]) -> tuple[Fields, str | None]:
        get = row.get
        unusable: list[str] = []
        key, parent = get("asin"), get("parent_asin")
        product_id, refused = _id(parent if key is None else key)
        # A parent stands for the variants of one product; in the files of metadata, it is mostly the only id.
        family_id = _id(parent)[0] if families and parent is not None else None
        title = _first(_title, row, ("title",), "title", unusable)
        category = _first(_path, row, CATEGORIES, "category", unusable) or []
        image = _first(_image, row, IMAGES, "image", unusable)
        related = get("related")
        if not isinstance(related, dict):
            related = {}
        bought = _ids(related.get("also_bought")) + _ids(related.get("bought_together"))
        viewed = _ids(related.get("also_viewed")) + _ids(related.get("buy_after_viewing"))
        for name in ("also_buy", "also_bought", "bought_together"):
            if value := get(name):
                bought += _ids(value)
        for name in ("also_view", "also_viewed", "buy_after_viewing"):
            if value := get(name):
                viewed += _ids(value)
        brand = _brand(get("brand")) or _brand(get("store"))
        price = get("price")
        found = _text(price)
        if found is None and _given(price):
            unusable.append("price cannot be read")
        return Fields(
            product_id,
            family_id,
            title,
            category,
            found,
            brand,
            image,
            bought,
            viewed,
            unusable,
        ), refused

    return read


def _first(
    read: Callable[[Any], Any], row: dict[str, Any], keys: tuple[str, ...], what: str, unusable: list[str]
) -> Any:
    """Return the first usable value of some keys; note it if values were given and none can be used."""
    given = False
    for key in keys:
        value = row.get(key)
        if value:
            if found := read(value):
                return found
            given = given or _given(value)
    if given:
        unusable.append(f"{what} cannot be read")
    return None


def _given(value: object) -> bool:
    """Return whether anything was said at all, somewhere in lists of nothing."""
    if isinstance(value, dict):
        return any(map(_given, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_given, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return bool(value[:100].strip()) if isinstance(value, str) else value is not None and value is not False


def _id(value: object) -> tuple[str | None, str | None]:
    """Return an id, or None and the reason if it is none: text and integers are ids, floats and booleans are not."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None, None
    if isinstance(value, bool | float | bytes):
        return None, f"product_id is a {type(value).__name__}, which is no id"
    found = _text(value)
    if found is not None and isinstance(value, str) and not is_valid(value):
        return None, "product_id is not valid Unicode"
    return found, None


def _text(value: object) -> str | None:
    """Return `value` as one line of text without HTML entities; None if it is empty or not plain."""
    if isinstance(value, str):
        text = " ".join(html.unescape(value).split())
        return valid(text) or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value) if abs(value) < _LARGEST else None


def _title(value: object) -> str | None:
    text = _text(value)
    if text is None or not isinstance(value, str):
        return text
    if "<" in text:
        text = " ".join(_TAG.sub(" ", _HIDDEN.sub(" ", text)).split()) or None
    return None if text and _SCRIPT.search(text) else text


def _brand(value: object) -> str | None:
    text = _title(value)
    # In 2018 it is a piece of the page: "by", a line break, the brand.
    if text and isinstance(value, str) and re.match(r"\s*by\s*\n", value):
        return text.removeprefix("by ")
    return text


def _path(value: object) -> list[str]:
    """Return a category path: a list of names, the first of several lists, or names joined by `>`."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        value = next((path for path in value if path), [])
    if isinstance(value, str):
        value = value.split(">")
    names = [_title(name) for name in value] if isinstance(value, list) else []
    return [name for name in names if name]


def _image(value: object) -> str | None:
    """Return the address of the main image: of a text, a list of texts or of dictionaries, or a dictionary of lists."""
    if isinstance(value, dict):
        columns = {key: each if isinstance(each, list) else [each] for key, each in value.items()}
        most = max(map(len, columns.values()), default=0)
        value = [
            {key: each[at] if at < len(each) else None for key, each in columns.items()} for at in range(most)
        ]
    if not isinstance(value, list):
        return _text(value) if isinstance(value, str) else None
    found = None
    for each in value:
        if isinstance(each, dict):
            texts = (_text(each[size]) for size in SIZES if isinstance(each.get(size), str))
            address = next(filter(None, texts), None)
            if address and each.get("variant") == "MAIN":
                return address
        else:
            address = _text(each) if isinstance(each, str) else None
        found = found or address
    return found


def _ids(value: object) -> list[str]:
    """Return the distinct ids of a list, in its order; anything else is no list."""
    if not value or not isinstance(value, list):
        return []
    # Most are letters and digits, which are text as they are; `_text` would take most of an ingest's time.
    ids = [
        item
        if isinstance(item, str) and item.isalnum() and item.isascii()
        else _text(item)
        if not isinstance(item, float)
        else None
        for item in value
    ]
    return list(dict.fromkeys(item for item in ids if item))
