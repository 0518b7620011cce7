"""SALAM: attention pooling against loops, and masks item by item."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from twinvec.nn.layers.neighbourhood import Neighbourhoods
from twinvec.nn.models.salam import FeaturePooling, Pooling, Salam, ViewPooling


class Words(nn.Module):
    """An encoder that looks words up."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 6)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.table(input_ids))


def model(pooling: Pooling) -> Salam:
    torch.manual_seed(4)
    return Salam(Words(), 6, 5, classes=4, pooling=pooling, length=3, attention=2)


def test_attention_between_features_is_equations_7_to_9() -> None:
    torch.manual_seed(5)
    pooling = FeaturePooling(length=3, hidden=4, classes=2)
    views, present = torch.randn(3, 3, 3), torch.tensor([[True] * 3, [True, False, False], [True] * 3])
    for row, (view, there) in enumerate(zip(views, present, strict=True)):
        e = torch.cat([v if t else torch.zeros(3) for v, t in zip(view, there, strict=True)])
        q, k, v = (each(e) for each in pooling.projections)
        a = []
        for i in range(4):
            weights = [math.exp(float((q[i] * k[j]).detach()) / math.sqrt(2 * 4)) for j in range(4)]
            a.append(sum(w * float(v[j].detach()) for j, w in enumerate(weights)) / sum(weights))
        expected = pooling.out(torch.tensor(a))
        torch.testing.assert_close(pooling(views, present)[row], expected, rtol=1e-4, atol=1e-5)


def test_attention_between_views_leaves_out_those_that_are_missing() -> None:
    torch.manual_seed(6)
    pooling = ViewPooling(length=3, hidden=4, classes=2)
    views, present = torch.randn(2, 3, 3), torch.tensor([[True, False, False], [True, True, True]])
    for row in range(2):
        there = [place for place in range(3) if present[row, place]]
        q, k, v = (role(views)[row] for role in pooling.roles)
        pooled = torch.zeros(3, 4)
        for i in there:
            scores = torch.stack([q[i] @ k[j] / math.sqrt(4) for j in there]).softmax(0)
            pooled[i] = sum((s * v[j] for s, j in zip(scores, there, strict=True)), torch.zeros(4))
        expected = pooling.out(pooled.flatten())
        torch.testing.assert_close(pooling(views, present)[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["views", "features"])
def test_a_pair_without_purchases_is_its_text_alone_whatever_else_is_in_the_batch(pooling: Pooling) -> None:
    salam = model(pooling)
    text, query, product = torch.randn(3, 4, 3)
    known = torch.tensor([True, False, True, False])
    together = salam.classify(text, query, product, known)
    text_alone = salam.classify(text, torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(4, dtype=torch.bool))
    torch.testing.assert_close(together[~known], text_alone[~known])
    assert (together[known] - text_alone[known]).abs().min() > 1e-6
    for row in range(4):
        alone = salam.classify(*(each[row : row + 1] for each in (text, query, product, known)))
        torch.testing.assert_close(together[row : row + 1], alone)


def test_every_part_learns_and_padding_is_not_read() -> None:
    salam = model("views")
    tokens = {
        "input_ids": torch.tensor([[3, 4, 5], [6, 7, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
    }
    hidden = salam.hidden(tokens)
    words = salam.encoder.table.weight  # type: ignore[union-attr]
    torch.testing.assert_close(hidden[1], words[[6, 7]].mean(0))  # type: ignore[index]
    graph = Neighbourhoods(torch.randn(3, 5), torch.tensor([[0, 0], [1, 2]]), torch.tensor([0, 1]))
    sides = [salam.neighbourhood(side, graph) for side in ("query", "product")]
    logits = salam.classify(salam.text(hidden), sides[0], sides[1], torch.tensor([True, True]))
    torch.autograd.backward(logits.square().sum())
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in salam.pooling.parameters())
    assert all(each.grad is not None for each in salam.sides.parameters())
    assert salam.encoder.table.weight.grad.abs().sum() > 0  # type: ignore[union-attr,operator]
