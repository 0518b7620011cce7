"""Which products lead to others, and which are led to: what a product's degrees say about an edge's direction.

On the products of a shop, direction is told by popularity more than by anything else: what many products lead to
seldom leads to them. Logistic regression on log(1 + in-degree) and log(1 + out-degree) of an edge's two ends says how
much more. Its log-odds fall into a part of the target and one of the source, so that they fit in a dot product.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from pipelines.sampling.blocks import Neighbours


def log_degrees(cover: Neighbours) -> Tensor:
    """log(1 + in-degree) and log(1 + out-degree) of n products, float32 [n, 2].

    Args:
        cover: double cover of the graph, 2n nodes, sources first.
    """
    outgoing, incoming = cover.degrees().chunk(2)
    return torch.stack([incoming, outgoing], dim=1).float().log1p()


def fit_direction(cover: Neighbours) -> Tensor:
    """Weights w, float32 [2], for which σ(w·(x_v − x_u)) is the chance that a one-way edge of u and v is u → v.

    x are log-degrees without the edge itself, as those of an edge that is yet to come will be. Without one-way edges
    the weights are zero.

    Args:
        cover: double cover of the graph, 2n nodes, sources first, on any device.
    """
    products = cover.rows // 2
    edges = int(cover.offsets[products])
    positions = cover.positions.cpu().numpy()
    source = np.repeat(np.arange(products), cover.degrees()[:products].cpu().numpy())
    target = positions[:edges] - products
    one_way = ~np.isin(source * products + target, target * products + source)
    source, target = source[one_way], target[one_way]
    if not len(source):
        return torch.zeros(2)
    outgoing, incoming = cover.degrees().chunk(2)
    into, out = incoming.cpu().numpy(), outgoing.cpu().numpy()
    of_target = np.log1p(np.stack([into[target] - 1, out[target]], axis=1))
    of_source = np.log1p(np.stack([into[source], out[source] - 1], axis=1))
    forward = of_target - of_source
    told = np.concatenate([np.ones(len(forward)), np.zeros(len(forward))])
    model = LogisticRegression(fit_intercept=False).fit(np.concatenate([forward, -forward]), told)
    return torch.from_numpy(model.coef_[0].astype(np.float32))
