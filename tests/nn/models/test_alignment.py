"""The alignment encoder against a dense version, and what it does with missing features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.alignment.pipeline import neighbours_of
from pipelines.graph.product_graph import Edges
from twinvec.nn.models.alignment import AlignmentEncoder, ContentFeatures, FullCoviews, coview_means
from twinvec.nn.training.inference import infer

PRODUCTS, TEXT, IMAGE, DIMENSION, SHARE = 23, 7, 5, 6, 0.3


def random_features(image: int = IMAGE) -> ContentFeatures:
    has_text, has_image = torch.rand(PRODUCTS) < 0.7, torch.rand(PRODUCTS) < 0.5
    # What is missing holds nonsense, which nothing may read.
    text, picture = torch.full((PRODUCTS, TEXT), torch.nan), torch.full((PRODUCTS, image), torch.nan)
    text[has_text] = torch.randn(int(has_text.sum()), TEXT)
    picture[has_image] = torch.randn(int(has_image.sum()), image)
    return ContentFeatures(text, has_text, picture, has_image)


def random_coviews(seed: int, products: int = PRODUCTS, pairs: int = 40) -> Edges:
    random = np.random.default_rng(seed)
    source, target = random.integers(0, products - 2, (2, pairs))
    other = source != target  # the last two products have none
    return Edges(source[other], target[other], np.ones(int(other.sum()), np.int64))


def dense(encoder: AlignmentEncoder, features: ContentFeatures, coview: Edges) -> Tensor:
    """W mean(x_u and the x_v of its co-viewed products) + b beside P x_u, each at its length, product by product."""
    rows = []
    x = [
        torch.cat(
            [
                features.text[u] if features.has_text[u] else encoder.no_text,
                features.image[u] if features.has_image[u] else encoder.no_image,
            ]
        )
        for u in range(PRODUCTS)
    ]
    for u in range(PRODUCTS):
        ends = zip(coview.source.tolist(), coview.target.tolist(), strict=True)
        near = {b if a == u else a for a, b in ends if u in (a, b)}
        mean = torch.stack([x[v] for v in [u, *near]]).mean(0)
        theta = encoder.weight.weight @ mean + encoder.weight.bias
        row = theta / theta.square().sum().sqrt()
        if encoder.axes is not None:
            content = encoder.axes.weight @ x[u] + encoder.axes.bias
            content = content / content.square().sum().sqrt()
            row = torch.cat([(1 - SHARE) ** 0.5 * row, SHARE**0.5 * content])
        rows.append(row)
    return torch.stack(rows)


@pytest.mark.parametrize("share", [SHARE, 0.0])
@pytest.mark.parametrize("image", [IMAGE, 0])
def test_vectors_are_those_of_the_dense_version(image: int, share: float) -> None:
    features, coview = random_features(image), random_coviews(3)
    encoder = AlignmentEncoder(TEXT, image, DIMENSION, share)
    coviews = neighbours_of(coview, PRODUCTS)
    expected = dense(encoder, features, coview).detach()
    means = coview_means(features, coviews)
    torch.testing.assert_close(infer(encoder, means, {}, chunk=9), expected)
    chosen = torch.tensor([4, 0, PRODUCTS - 1, 11])
    torch.testing.assert_close(infer(encoder, means.only(chosen), {}), expected[chosen])
    full = FullCoviews(encoder)(*features.of(torch.arange(PRODUCTS)), coviews.offsets, coviews.positions)
    torch.testing.assert_close(full.detach(), expected)


def test_the_ends_of_a_pair_are_means_without_each_other() -> None:
    features, coview = random_features(), random_coviews(5).unordered()
    encoder = AlignmentEncoder(TEXT, IMAGE, DIMENSION, SHARE)
    pairs = torch.from_numpy(np.stack(coview.ends))
    means = coview_means(features, neighbours_of(coview, PRODUCTS), pairs)
    assert means.nodes == PRODUCTS + 2 * len(coview)
    nodes = torch.randperm(means.nodes)
    with torch.no_grad():
        vectors = torch.empty(means.nodes, DIMENSION)
        vectors[nodes] = encoder.start(*means.of(nodes))
        torch.testing.assert_close(vectors[:PRODUCTS], dense(encoder, features, coview))
        for pair in range(len(coview)):
            rest = coview.only(np.arange(len(coview)) != pair)
            without = dense(encoder, features, rest)
            first, second = pairs[:, pair]
            torch.testing.assert_close(vectors[PRODUCTS + pair], without[first])
            torch.testing.assert_close(vectors[PRODUCTS + len(coview) + pair], without[second])


def test_a_product_that_lacks_something_has_the_learned_vector_and_trains_it() -> None:
    features = ContentFeatures(
        torch.zeros(2, TEXT), torch.tensor([True, False]), torch.zeros(2, IMAGE), torch.tensor([False, False])
    )
    encoder = AlignmentEncoder(TEXT, IMAGE, DIMENSION)
    start = encoder.filled(features.rows())
    assert torch.equal(start[0], torch.cat([torch.zeros(TEXT), encoder.no_image]))
    assert torch.equal(start[1], torch.cat([encoder.no_text, encoder.no_image]))
    assert encoder.no_text.norm() > 0.1
    assert encoder.no_image.norm() > 0.1
    start.square().sum().backward()  # type: ignore[no-untyped-call]
    assert encoder.no_text.grad is not None
    assert encoder.no_image.grad is not None
    torch.testing.assert_close(encoder.no_text.grad, 2 * encoder.no_text.detach())
    torch.testing.assert_close(encoder.no_image.grad, 4 * encoder.no_image.detach())


def test_principal_axes_keep_the_distances_of_a_low_rank_matrix() -> None:
    everything = torch.ones(40, dtype=torch.bool)
    inputs = torch.randn(40, 4) @ torch.randn(4, TEXT + IMAGE) + 3 * torch.randn(TEXT + IMAGE)
    features = ContentFeatures(inputs[:, :TEXT], everything, inputs[:, TEXT:], everything)
    encoder = AlignmentEncoder(TEXT, IMAGE, DIMENSION)
    encoder.start_at_principal_axes(features.rows())
    with torch.no_grad():
        kept = encoder.weight(inputs)
    torch.testing.assert_close(torch.pdist(kept), torch.pdist(inputs), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(kept.mean(0), torch.zeros(DIMENSION), rtol=0, atol=1e-4)


def test_content_is_whitened_is_not_learned_and_has_its_share_of_the_cosine() -> None:
    everything = torch.ones(300, dtype=torch.bool)
    inputs = torch.randn(300, 3) @ (torch.tensor([9.0, 3.0, 1.0])[:, None] * torch.randn(3, TEXT + IMAGE)) + 2
    features = ContentFeatures(inputs[:, :TEXT], everything, inputs[:, TEXT:], everything)
    encoder = AlignmentEncoder(TEXT, IMAGE, DIMENSION, SHARE)
    encoder.start_at_principal_axes(features.rows())
    assert encoder.axes is not None
    assert not encoder.axes.weight.requires_grad
    with torch.no_grad():
        content = encoder.axes(inputs)
        vectors = encoder.start(features.rows(), features.rows())
    torch.testing.assert_close(torch.cov(content.T, correction=0), torch.eye(3), rtol=0, atol=1e-3)
    kept = vectors[:, encoder.weight.out_features :]
    torch.testing.assert_close(vectors.square().sum(1), torch.ones(300))
    torch.testing.assert_close(kept.square().sum(1), torch.full((300,), SHARE))
    torch.testing.assert_close(kept / SHARE**0.5, torch.nn.functional.normalize(content))


@pytest.mark.parametrize("products", [1, 5])
def test_products_that_are_all_alike_have_finite_vectors(products: int) -> None:
    yes = torch.ones(products, dtype=torch.bool)
    alike = ContentFeatures(torch.ones(products, TEXT), yes, torch.ones(products, IMAGE), yes)
    encoder = AlignmentEncoder(TEXT, IMAGE, DIMENSION, SHARE)
    encoder.start_at_principal_axes(alike.rows())
    with torch.no_grad():
        assert torch.isfinite(encoder.start(alike.rows(), alike.rows())).all()


def test_principal_axes_of_fewer_products_than_dimensions_leave_the_other_rows() -> None:
    encoder = AlignmentEncoder(TEXT, IMAGE, DIMENSION)
    before = encoder.weight.weight.detach().clone()
    yes = torch.ones(3, dtype=torch.bool)
    few = ContentFeatures(torch.randn(3, TEXT), yes, torch.randn(3, IMAGE), yes)
    encoder.start_at_principal_axes(few.rows())
    after = encoder.weight.weight.detach()
    assert torch.isfinite(after).all()
    assert torch.equal(after[3:], before[3:])
    assert not torch.equal(after[:3], before[:3])
