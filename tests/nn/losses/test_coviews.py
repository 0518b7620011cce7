"""The loss over undirected pairs against a plain loop."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from twinvec.nn.losses.coviews import CoviewObjective, coview_loss


def test_the_loss_is_that_of_a_plain_loop() -> None:
    first, second, others = (functional.normalize(torch.randn(count, 6), dim=1) for count in (5, 5, 7))
    excluded = torch.rand(5, 7) < 0.3
    expected = []
    for pair in range(5):
        for end, other in ((first[pair], second[pair]), (second[pair], first[pair])):
            scores = [end @ other, *(end @ others[z] for z in range(7) if not excluded[pair, z])]
            expected.append(-torch.log_softmax(3.0 * torch.stack(scores), 0)[0])
    torch.testing.assert_close(
        coview_loss(first, second, others, excluded, 3.0), torch.stack(expected).mean()
    )


def test_batches_hold_each_pair_once_and_exclude_its_ends() -> None:
    random = np.random.default_rng()
    first, second = torch.from_numpy(random.integers(0, 20, (2, 33)))
    candidates = torch.tensor([1, 2, 3, 5, 8, 13])
    objective = CoviewObjective(first, second, candidates, offset=20, pool=4, most=30, scale=1.0, batch=8)
    trained: list[int] = []
    for batch in objective.batches(random):
        pairs, pool = batch.excluded.shape
        ends, others, drawn = torch.split(batch.seeds, [pairs, pairs, pool])
        assert torch.equal(others, ends + 33)
        assert set(drawn.tolist()) <= set(candidates.tolist())
        assert len(torch.unique(batch.seeds)) == len(batch.seeds)
        chosen = ends - 20
        trained += chosen.tolist()
        for row, pair in enumerate(chosen.tolist()):
            own = {int(first[pair]), int(second[pair])}
            assert batch.excluded[row].tolist() == [product in own for product in drawn.tolist()]
    assert len(trained) == len(set(trained)) == 30
