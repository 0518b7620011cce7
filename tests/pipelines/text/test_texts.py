from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from pipelines.text.texts import count_texts, read_texts
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.catalogue.synthetic import generate
from twinvec.workspace import Workspace


def test_text_is_path_then_title_in_english_or_the_first_language(
    snapshot_of: Callable[..., Snapshot],
) -> None:
    snapshot = snapshot_of(
        english=({"pt": "Capa", "en": "Case", "es": "Funda"}, ["Electronics", "Phones"]),
        spanish=({"pt": "Capa", "es": "Funda"}, ["Electronics"]),
        titled=({"und": "A title"}, []),
        placed=(None, ["Books", "Art"]),
        nameless=(None, []),
        blank=({"en": "  "}, [" "]),
    )
    texts = {
        name: text
        for some in read_texts(snapshot, 2)
        for name, text in zip(some.product_ids.to_pylist(), some.texts.to_pylist(), strict=True)
    }
    assert texts == {
        "english": "Electronics > Phones: Case",
        "spanish": "Electronics: Funda",
        "titled": "A title",
        "placed": "Books > Art",
    }
    assert count_texts(snapshot) == 4


def test_every_product_of_a_store_comes_once(workspace: Workspace, tmp_path: Path) -> None:
    generate(tmp_path / "store", 200, seed=5, images=False)
    snapshot = ingest(tmp_path / "store", "parquet", workspace.settings, workspace.engine).snapshot
    rows = {row["product_id"]: row for row in pq.read_table(snapshot.table("products")).to_pylist()}
    names = []
    for some in read_texts(snapshot, 64):
        for name, text in zip(some.product_ids.to_pylist(), some.texts.to_pylist(), strict=True):
            path, titles = " > ".join(rows[name]["category"]), dict(rows[name]["title"] or [])
            assert text == (f"{path}: {titles.get('en') or titles[min(titles)]}" if titles else path)
            names.append(name)
    assert sorted(names) == sorted(rows)
