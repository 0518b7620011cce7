"""The losses, against loops over the paper's and the batch's terms."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import Tensor
from torch.nn import functional

from pipelines.text.coviews import CoviewedPairs
from pipelines.text.losses import make_loss
from twinvec.nn.losses.ranking import ranking_loss
from twinvec.settings.pipelines import TextTraining

NOTHING = CoviewedPairs(torch.zeros(0, dtype=torch.int64), 100)
TEXTS = [
    ["a red phone", "case", "a cable that is long and blue and white"],
    ["phone of last year", "a case for a red phone", "cable"],
    ["socks", "shoes: brown, leather, for walking", "hat"],
]


def columns(encoder: SentenceTransformer) -> list[dict[str, Tensor]]:
    return [encoder.preprocess(list(texts)) for texts in TEXTS]


@pytest.fixture
def encoder(small_encoder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(small_encoder), device="cpu")


def test_margin_loss_is_the_paper_s(encoder: SentenceTransformer) -> None:
    loss = make_loss(encoder, TextTraining(loss="margin", margin=0.5), NOTHING)(
        columns(encoder), torch.empty(0)
    )
    vectors = [torch.from_numpy(encoder.encode(list(texts), normalize_embeddings=True)) for texts in TEXTS]
    hinges = [max(0.0, float(0.5 - a @ p + a @ n)) for a, p, n in zip(*vectors, strict=True)]
    assert loss.item() == pytest.approx(sum(hinges) / 3, abs=1e-6)


def test_ranking_loss_leaves_out_what_is_right() -> None:
    generator = torch.Generator().manual_seed(4)
    pairs, width, nodes = 7, 4, 12
    vectors = [torch.randn(pairs, 5, generator=generator) for _ in range(width)]
    products = torch.randint(nodes, (pairs, width), generator=generator)
    wordings = products // 2
    viewed = {(a, b) for a, b in product(range(nodes), repeat=2) if a != b and (a * b + a + b) % 4 == 0}
    coviewed = CoviewedPairs(torch.tensor(sorted(a * nodes + b for a, b in viewed)), nodes)
    unit = [functional.normalize(column, dim=1) for column in vectors]
    expected, left_out = 0.0, 0
    for i in range(pairs):
        terms = []
        for row, column in product(range(pairs), range(1, width)):
            right = (int(products[i, 0]), int(products[row, column])) in viewed
            right |= bool(wordings[row, column] in wordings[i, :2])
            if right and row != i:
                left_out += 1
            else:
                terms.append(math.exp(20 * float(unit[0][i] @ unit[column][row])))
        expected -= math.log(math.exp(20 * float(unit[0][i] @ unit[1][i])) / sum(terms)) / pairs
    assert left_out > 20
    found = ranking_loss(vectors, torch.cat([products, wordings], 1), coviewed.contains, 20.0)
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_with_nothing_to_leave_out_it_is_the_library_s(encoder: SentenceTransformer) -> None:
    labels = torch.arange(9).reshape(3, 3).T.repeat(1, 2)
    library = MultipleNegativesRankingLoss(encoder, scale=20.0)(columns(encoder), labels)
    ours = make_loss(encoder, TextTraining(loss="ranking"), NOTHING)(columns(encoder), labels)
    assert ours.item() == pytest.approx(library.item(), abs=1e-5)


def test_the_cached_loss_has_the_same_value_and_gradients(
    encoder: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.text.losses.MINI_BATCH", 2)
    labels = torch.arange(9).reshape(3, 3).T.repeat(1, 2)
    coviewed = CoviewedPairs(torch.tensor([0 * 100 + 4]), 100)
    found = []
    for name in ("ranking", "cached-ranking"):
        encoder.zero_grad()
        loss = make_loss(encoder, TextTraining(loss=name), coviewed)(columns(encoder), labels)
        loss.backward()
        found.append(
            (loss.item(), {n: p.grad.clone() for n, p in encoder.named_parameters() if p.grad is not None})
        )
    (plain, gradients), (cached, others) = found
    assert cached == pytest.approx(plain, abs=1e-6)
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, others[name], rtol=1e-4, atol=1e-6)
