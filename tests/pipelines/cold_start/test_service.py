"""Answers for new products, from a real release: encoded as the catalogue was, and refused where they cannot be."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from pipelines.cold_start import encoders as encoders_module
from pipelines.cold_start.description import SEPARATOR
from pipelines.cold_start.encoders import Encoders, find_encoders
from pipelines.cold_start.service import ColdStart
from pipelines.graph.product_graph import load_graph
from pipelines.ranking.cold import NEIGHBOURS, weigh
from registry.database import transaction
from registry.models import Version
from twinvec import releases
from twinvec.errors import NotFoundError, StateError, StoreError, VerificationError
from twinvec.serving.related import NewProduct, UnusableProductError
from twinvec.settings.serving import ExperimentSettings, ServingSettings
from twinvec.vectors import Filters
from twinvec.workspace import Workspace

pytestmark = pytest.mark.slow
LIVE = "related_products__v1"


def as_new(shop: Any, row: int) -> NewProduct:
    """A product of the catalogue as if it were new."""
    titles, path = dict(shop.products["title"][row] or ()), shop.products["category"][row]
    title = titles.get("en", next(iter(titles.values()), None))
    return NewProduct(title, SEPARATOR.join(path), image_of(shop, row))


def image_of(shop: Any, row: int) -> bytes | None:
    address = shop.products["image"][row]
    if address is None:
        return None
    name, archive = address.removeprefix("zip://").split("::")
    with zipfile.ZipFile(shop.store / archive) as file:
        return file.read(name)


def encode(encoders: Encoders, product: NewProduct, path: list[str]) -> tuple[Any, Any, Any]:
    models = encoders.models
    text, image = (models.content[space].encode(product, path) for space in ("text", "image"))
    return text, image, models.encode(product, path)


def found(answer: Any) -> list[str]:
    return [hit.product.product_id for hit in answer.hits]


@pytest.mark.parametrize("release", [1, 2])
def test_a_new_product_is_encoded_as_the_catalogue_was(shop: Any, workspace: Workspace, release: int) -> None:
    encoders = find_encoders(workspace, f"related_products__v{release}")
    texts, _ = shop.vectors(workspace, release, "text")
    images, has_image = shop.vectors(workspace, release, "image")
    aligned, _ = shop.vectors(workspace, release, "aligned")
    graph = load_graph(Path(shop.versions[release - 1]["graph"].path))
    seen = {*graph.coview.source.tolist(), *graph.coview.target.tolist()}
    number = {product: node for node, product in enumerate(graph.product_ids.to_pylist())}
    # Compared where there are no co-views, which a new product has none of either.
    alone = [row for row, product in enumerate(shop.products["product_id"]) if number[product] not in seen]
    rows = alone[:8] + np.flatnonzero(has_image)[:4].tolist() + np.flatnonzero(~has_image)[:2].tolist()
    assert alone
    for row in rows:
        text, image, vector = encode(encoders, as_new(shop, row), shop.products["category"][row])
        np.testing.assert_allclose(text, texts[row], atol=1e-5)
        assert (image is not None) == has_image[row]
        if image is not None:
            np.testing.assert_allclose(image, images[row], atol=1e-5)
        if row in alone:
            np.testing.assert_allclose(vector, aligned[row], atol=1e-5)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_the_answer_is_the_weighted_neighbours_own(shop: Any, workspace: Workspace) -> None:
    product, row = as_new(shop, 17), 17
    encoders = find_encoders(workspace, LIVE)
    _, _, vector = encode(encoders, product, shop.products["category"][row])
    aligned, _ = shop.vectors(workspace, 1, "aligned")
    source, target, _ = shop.vectors(workspace, 1, "related")
    # The service keeps them in 16 bits, which weighs the neighbours a little otherwise.
    cosines = aligned.astype(np.float16).astype(np.float32) @ vector
    nearest = np.argsort(-cosines)[:NEIGHBOURS]
    scores = target @ (weigh(cosines[nearest]) @ source[nearest])
    ids = np.array(shop.products["product_id"])
    cold_start = ColdStart(workspace)
    answer = cold_start.related(product, 12)
    assert answer.release == LIVE
    assert answer.product.product_id is None
    assert answer.product.title == product.title
    assert answer.product.category == tuple(shop.products["category"][row])
    assert found(answer) == ids[np.argsort(-scores)[:12]].tolist()
    assert [hit.score for hit in answer.hits] == pytest.approx(
        np.sort(scores)[::-1][:12].tolist(), rel=1e-4, abs=1e-4
    )

    dear = np.array([price is not None and price >= 30 for price in shop.products["price"]])
    department = shop.products["category"][3][0]
    inside = np.array([department in path for path in shop.products["category"]]) & dear
    chosen = np.argsort(-np.where(inside, scores, -np.inf))[: min(5, inside.sum())]
    filtered = cold_start.related(product, 5, Filters(category=(department,), min_price=30))
    assert found(filtered) == ids[chosen].tolist()


def test_what_goes_with_a_product_is_found_by_its_description(shop: Any, workspace: Workspace) -> None:
    graph = load_graph(Path(shop.versions[0]["graph"].path))
    ids = graph.product_ids.to_pylist()
    targets: dict[str, set[str]] = {}
    for source, target in zip(graph.copurchase.source, graph.copurchase.target, strict=True):
        targets.setdefault(ids[source], set()).add(ids[target])
    popular = [ids[node] for node in np.argsort(-np.bincount(graph.copurchase.target))[:10]]
    cold_start = ColdStart(workspace)
    rows = [row for row, product in enumerate(shop.products["product_id"]) if product in targets][:40]
    right = plain = 0
    for row in rows:
        wanted = targets[shop.products["product_id"][row]]
        right += bool(wanted & set(found(cold_start.related(as_new(shop, row)))))
        plain += bool(wanted & set(popular))
    assert right > 0.4 * len(rows), f"{right} of {len(rows)}"
    assert right > 1.3 * plain, f"{right} beside {plain} by popularity"


def test_part_of_a_description_is_enough(shop: Any, workspace: Workspace) -> None:
    cold_start = ColdStart(workspace)
    row = next(row for row in range(300) if shop.products["image"][row])
    whole = as_new(shop, row)
    leaf = shop.products["category"][row][-1]
    answers = [
        cold_start.related(product)
        for product in (
            whole,
            replace(whole, category=leaf),
            NewProduct(title=whole.title),
            NewProduct(category=leaf),
            NewProduct(image=whole.image),
        )
    ]
    assert all(len(answer.hits) == 10 for answer in answers)
    assert found(answers[0]) == found(answers[1])
    assert answers[1].product.category == tuple(shop.products["category"][row])
    assert len({tuple(found(answer)) for answer in answers}) == 4, "each part tells something else"


@pytest.mark.parametrize(
    ("product", "message"),
    [
        (NewProduct(), "nothing is said"),
        (NewProduct(title=" \t"), "the title is empty"),
        (NewProduct(title="x", category="Nowhere"), "no category 'Nowhere'"),
        (NewProduct(title="x", category=""), "is empty"),
        (NewProduct(title="x", image=b""), "the image is empty"),
        (NewProduct(title="x", image=b"no image at all"), "cannot be used: not an image"),
        (NewProduct(title="x", image=b"\x89PNG\r\n\x1a\n" + bytes(100)), "the image cannot be used"),
        (NewProduct(title="x", image=bytes(20_000_001)), "more than 20,000,000 bytes"),
    ],
)
def test_what_cannot_be_encoded_is_explained(workspace: Workspace, product: NewProduct, message: str) -> None:
    with pytest.raises(UnusableProductError, match=message) as caught:
        ColdStart(workspace).related(product)
    assert caught.value.hint


def test_a_part_that_the_release_knows_nothing_of_is_refused(shop: Any, workspace: Workspace) -> None:
    models = find_encoders(workspace, LIVE).models
    with pytest.raises(UnusableProductError, match="has an image, and the live release was made without any"):
        replace(models, content={"text": models.content["text"]}).encode(NewProduct(image=b"x"), ())
    with pytest.raises(UnusableProductError, match="has a title or category"):
        replace(models, content={"image": models.content["image"]}).encode(NewProduct(title="x"), ())


def test_a_new_live_release_is_picked_up_whole(shop: Any, workspace: Workspace) -> None:
    product = as_new(shop, 5)
    cold_start = ColdStart(workspace)
    first = cold_start.related(product)
    assert first.release == LIVE
    releases.promote(workspace, releases.find(workspace, "2"))
    second = cold_start.related(product)
    assert second.release == "related_products__v2"
    assert second == ColdStart(workspace).related(product)
    assert [hit.score for hit in first.hits] != [hit.score for hit in second.hits]
    releases.rollback(workspace)
    assert cold_start.related(product) == first


def test_encoders_are_loaded_once_by_whoever_asks_first(
    shop: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.cold_start import models

    loaded: list[int] = []
    load: Callable[..., Any] = models.load_models

    def counted(*given: Any) -> Any:
        loaded.append(1)
        return load(*given)

    monkeypatch.setattr(models, "load_models", counted)
    cold_start = ColdStart(workspace)
    assert not loaded
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(cold_start.related(as_new(shop, 8)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 1
    assert answers == [answers[0]] * 4


def test_arms_of_an_experiment_do_not_load_encoders_in_turns(
    shop: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.cold_start import service

    found: list[str] = []

    def counted(given: Workspace, collection: str) -> Encoders:
        found.append(collection)
        return find_encoders(given, collection)

    monkeypatch.setattr(service, "find_encoders", counted)
    arms = {"control": {"release": "v1", "share": 0.5}, "new": {"release": "v2", "share": 0.5}}
    settings = workspace.settings.model_copy(
        update={"serving": ServingSettings(experiment=ExperimentSettings.model_validate({"arms": arms}))}
    )
    with_arms, plain = ColdStart(Workspace(settings)), ColdStart(workspace)
    product, other = as_new(shop, 5), "related_products__v2"
    for _ in range(2):
        answers = [with_arms.related(product, collection=each) for each in (LIVE, other)]
        assert [answer.release for answer in answers] == [LIVE, other]
    assert found == [LIVE, other]
    found.clear()
    for _ in range(2):
        assert [plain.related(product, collection=each) for each in (LIVE, other)] == answers
    assert found == [LIVE, other] * 2  # without arms, one release's models are in memory


def test_encoders_that_do_not_belong_to_the_index_are_refused(shop: Any, workspace: Workspace) -> None:
    def alter(space: str, **values: object) -> None:
        with transaction(workspace.engine) as session:
            row = session.get_one(Version, shop.versions[0][space].id)
            for name, value in values.items():
                setattr(row, name, value)

    before = shop.versions[0]
    alter("related", digest="0" * 16)
    with pytest.raises(VerificationError, match=f"{LIVE} was made from related@v1 with the manifest"):
        ColdStart(workspace).related(NewProduct("x"))
    alter("related", digest=before["related"].digest)
    alter("text", digest="0" * 16)
    with pytest.raises(VerificationError, match="aligned@v1 was made from text@v1"):
        ColdStart(workspace).related(NewProduct("x"))
    alter("text", digest=before["text"].digest)
    # As if the registered model had been replaced under the version's feet.
    alter("image", model_uri=shop.versions[1]["image"].model_uri)
    with pytest.raises(StoreError, match=r"the model of image@v1.* are not those that were logged"):
        ColdStart(workspace).related(NewProduct("x"))
    alter("image", model_files=None)  # of an older release
    with pytest.raises(StoreError, match=r"has weights .* and image@v1 was made by"):
        ColdStart(workspace).related(NewProduct("x"))
    alter("image", model_uri=before["image"].model_uri, model_files=before["image"].model_files)
    alter("text", manifest={**before["text"].manifest, "preprocessing": "other"})
    with pytest.raises(StoreError, match="texts of text@v1 were prepared otherwise"):
        ColdStart(workspace).related(NewProduct("x"))
    alter("text", manifest=before["text"].manifest)
    alter("image", manifest={**before["image"].manifest, "preprocessing": "other"})
    with pytest.raises(StoreError, match="images of image@v1 were prepared otherwise"):
        ColdStart(workspace).related(NewProduct("x"))


def test_encoders_that_are_gone_are_named(shop: Any, workspace: Workspace) -> None:
    uri = shop.versions[0]["aligned"].model_uri
    cold_start = ColdStart(workspace)
    client = MlflowClient(workspace.settings.tracking_uri())
    client.delete_model_version("aligned", uri.rpartition("/")[2])
    with pytest.raises(StoreError, match=f"the model of aligned@v1, {uri}, cannot be loaded") as caught:
        cold_start.related(NewProduct("x"))
    assert "twinvec run" in caught.value.hint


def test_no_release_and_one_without_content_are_explained(shop: Any, workspace: Workspace) -> None:
    nothing = Workspace(workspace.settings.model_copy(update={"release": "other"}))
    with pytest.raises(StateError, match="no release of other is live"):
        ColdStart(nothing).related(NewProduct("x"))
    with pytest.raises(NotFoundError, match="nowhere is of no release"):
        find_encoders(workspace, "nowhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders_module, "lineage", lambda *_: [shop.versions[0]["related"]])
        with pytest.raises(StateError, match="made without texts and images"):
            find_encoders(workspace, LIVE)
