"""Pairs of images with similar vectors, and the order of training (MERLIN 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pipelines.graph.product_graph import ProductGraph, Split
from pipelines.graph.renumbering import renumbered, row_of
from twinvec.draws import bits
from twinvec.nn.augmentation import draw

Pairs = npt.NDArray[np.int64]


def coview_pairs(graph: ProductGraph, product_ids: Sequence[str], min_count: int) -> Pairs:
    """Return the training co-views that are frequent, as positions in `product_ids`, int64 [pairs, 2].

    Most pairs that were viewed together once were so by chance. If no pair is frequent, as where a source lists
    co-views without counts, all pairs are returned.

    Args:
        graph: Graph with the co-views.
        product_ids: Ids of the products to pair.
        min_count: Least number of co-views of a frequent pair.
    """
    pairs = renumbered(graph.coviews(Split.TRAIN), row_of(graph, product_ids))
    frequent = pairs.count >= min_count
    chosen = pairs.only(frequent) if frequent.any() else pairs
    return np.stack([chosen.source, chosen.target], axis=1)


class Views(Dataset[dict[str, Tensor]]):
    """All pairs of a training in order, each with the random numbers of its views.

    The pairs come once in one random order, then once in another, and so on. The pair at a place depends on the seed
    and the place alone: not on the number of processes, nor on the checkpoint that the training resumed from.

    Args:
        pixels: RGB, uint8 [products, 3, size, size].
        pairs: Rows of `pixels`, int64 [pairs, 2].
        length: Number of places.
        views: Views of each image.
        seed: Seed of the order and the draws.
    """

    def __init__(
        self, pixels: npt.NDArray[np.uint8], pairs: Pairs, length: int, views: int, seed: int
    ) -> None:
        self.pixels, self.pairs, self.length, self.views, self.seed = pixels, pairs, length, views, seed
        self._round, self._order = -1, np.zeros(0, np.int64)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        """Return one pair: `pixels`, uint8 [2, 3, size, size], and `draws`, float32 [2, views, DRAWS]."""
        return {name: values[0] for name, values in self.__getitems__([place]).items()}

    def __getitems__(self, places: Sequence[int]) -> dict[str, Tensor]:
        """Return a batch of pairs; the data loader calls this."""
        rounds, within = np.divmod(np.asarray(places, np.int64), len(self.pairs))
        numbers = np.empty(len(places), np.int64)
        for each in np.unique(rounds):
            numbers[rounds == each] = self._ordered(int(each))[within[rounds == each]]
        draws = draw(
            self.seed,
            rounds[:, None, None],
            numbers[:, None, None],
            np.arange(2)[:, None],
            np.arange(self.views),
        )
        return {"pixels": torch.from_numpy(self.pixels[self.pairs[numbers]]), "draws": draws}

    def _ordered(self, round_: int) -> npt.NDArray[np.int64]:
        if round_ != self._round:
            keys = bits(self.seed, "image pairs", np.array([round_]), np.arange(len(self.pairs)))
            self._round, self._order = round_, np.argsort(keys, kind="stable")
        return self._order
