"""Which two images are to be alike, and in which order they are seen (MERLIN 3.4)."""

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
    """Pairs of products that are often viewed together; of those to be learned from, int64 [pairs, 2].

    Most pairs that were met once were met by chance. Where no pair is frequent, as where a source lists co-views
    without counting them, all are taken.

    Args:
        graph: whose co-views they are.
        product_ids: of some of its products; a pair is given by two places in this list.
        min_count: co-views of a frequent pair.
    """
    pairs = renumbered(graph.coviews(Split.TRAIN), row_of(graph, product_ids))
    frequent = pairs.count >= min_count
    chosen = pairs.only(frequent) if frequent.any() else pairs
    return np.stack([chosen.source, chosen.target], axis=1)


class Views(Dataset[dict[str, Tensor]]):
    """A training's pairs from first to last, each with the draws its views are made by.

    All pairs in an order of their own, then all of them in another, and so on. What stands at a place depends on the
    seed and the place alone: neither on how many processes share the work, nor on where it began.

    Args:
        pixels: RGB, uint8 [products, 3, size, size].
        pairs: rows of `pixels`, int64 [pairs, 2].
        length: places.
        views: of an image.
        seed: of the order and the draws.
    """

    def __init__(
        self, pixels: npt.NDArray[np.uint8], pairs: Pairs, length: int, views: int, seed: int
    ) -> None:
        self.pixels, self.pairs, self.length, self.views, self.seed = pixels, pairs, length, views, seed
        self._round, self._order = -1, np.zeros(0, np.int64)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        """One pair: `pixels`, uint8 [2, 3, size, size], and `draws`, float32 [2, views, DRAWS]."""
        return {name: values[0] for name, values in self.__getitems__([place]).items()}

    def __getitems__(self, places: Sequence[int]) -> dict[str, Tensor]:
        """A batch of pairs, as the data loader asks for it."""
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
