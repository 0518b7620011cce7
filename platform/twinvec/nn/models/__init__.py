"""Models, one published model a module.

`MERLIN`, `DAEMON`, `GraphSAGE`, `GAT`, `LightGCN` and `Twinvec` compute source and target vectors of related products;
`FullGraph` makes any of them a function of plain tensors. `FeedForward` has the trained blocks of WAML, whose layers
are in `twinvec.nn.models.waml`. `twinvec.nn.models.image` is not imported here: it needs the libraries of images, which
take seconds to import.
"""

from __future__ import annotations

from twinvec.nn.models.alignment import AlignmentEncoder
from twinvec.nn.models.category import CategoryEmbedding
from twinvec.nn.models.content_encoder import ContentEncoder
from twinvec.nn.models.daemon import DAEMON
from twinvec.nn.models.full_graph import FullGraph, full_graph_inputs
from twinvec.nn.models.gat import GAT
from twinvec.nn.models.lightgcn import LightGCN
from twinvec.nn.models.merlin import MERLIN
from twinvec.nn.models.sage import GraphSAGE
from twinvec.nn.models.twinvec import Twinvec
from twinvec.nn.models.waml import FeedForward

__all__ = [
    "DAEMON",
    "GAT",
    "MERLIN",
    "AlignmentEncoder",
    "CategoryEmbedding",
    "ContentEncoder",
    "FeedForward",
    "FullGraph",
    "GraphSAGE",
    "LightGCN",
    "Twinvec",
    "full_graph_inputs",
]
