"""Text of each product for the encoder: its category path and its title (MERLIN 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sentence_transformers import SentenceTransformer

from twinvec import digest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.settings import Settings

# A snapshot has no empty names or titles, and the languages of a title are sorted.
DESCRIBED_SQL = """
    SELECT product_id, path, chosen AS title,
           list_filter(map_values(title), lambda each: each <> chosen) AS other_titles
    FROM (
        SELECT product_id, title,
               nullif(array_to_string(category, ' > '), '') AS path,
               coalesce(title['en'], map_values(title)[1]) AS chosen
        FROM products
    )
    WHERE path IS NOT NULL OR chosen IS NOT NULL
"""
# Part of the preprocessing's digest.
TEXT_SQL = f"SELECT product_id, concat_ws(': ', path, title) AS text FROM ({DESCRIBED_SQL})"


@dataclass(frozen=True)
class Texts:
    """Products and their texts, in the same order.

    Attributes:
        product_ids: Strings [n].
        texts: Strings [n], none of them empty.
    """

    product_ids: pa.Array
    texts: pa.Array


def count_texts(snapshot: Snapshot) -> int:
    """Return the number of products that have a text."""
    with snapshot.connect() as connection:
        counted = connection.execute(f"SELECT count(*) FROM ({TEXT_SQL})").fetchone()
    return int(counted[0]) if counted else 0


def read_texts(snapshot: Snapshot, chunk: int) -> Iterator[Texts]:
    """Yield the products that have a title or a category, `chunk` at a time.

    The title is the English one, else that of the first language in the order of the codes.
    """
    with snapshot.connect() as connection:
        for batch in connection.sql(TEXT_SQL).to_arrow_reader(chunk):
            yield Texts(batch["product_id"], batch["text"])


def read_languages(snapshot: Snapshot, product_ids: pa.Array) -> npt.NDArray[np.int64]:
    """Return a number for the language of each product's title in `DESCRIBED_SQL`, int64 [n]; −1 without a title."""
    wanted = pa.table({"product_id": product_ids, "place": np.arange(len(product_ids))})
    with snapshot.connect() as connection:
        connection.register("wanted", wanted)
        table = connection.sql(
            """SELECT CASE WHEN title['en'] IS NOT NULL THEN 'en' ELSE map_keys(title)[1] END AS language
               FROM wanted JOIN products USING (product_id) ORDER BY place"""
        ).to_arrow_table()
    codes = table["language"].combine_chunks().dictionary_encode()
    numbers: npt.NDArray[np.int64] = codes.indices.fill_null(-1).to_numpy().astype(np.int64)
    return numbers


def reason_to_skip(snapshot: Snapshot, settings: Settings) -> str | None:
    """Return the reason why there is nothing to encode, or None."""
    if settings.text.scheme == "none":
        return "text.scheme is `none`"
    return None if count_texts(snapshot) else "no product has a title or a category"


def preprocessing_digest(encoder: SentenceTransformer) -> str:
    """Return the digest of the preprocessing: a product's text, and the text's tokens."""
    vocabulary = encoder.tokenizer.get_vocab()
    return digest.of_json(
        {
            "text": TEXT_SQL,
            "max_length": encoder.max_seq_length,
            "tokenizer": type(encoder.tokenizer).__name__,
            "vocabulary": digest.of_json(vocabulary),
        }
    )
