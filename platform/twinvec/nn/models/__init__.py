"""Graph encoders: from features and neighbourhoods to vectors, one published model a module."""

from __future__ import annotations

from twinvec.nn.models.content_encoder import ContentEncoder
from twinvec.nn.models.daemon import DAEMON
from twinvec.nn.models.full_graph import FullGraph, full_graph_inputs
from twinvec.nn.models.gat import GAT
from twinvec.nn.models.lightgcn import LightGCN
from twinvec.nn.models.merlin import MERLIN
from twinvec.nn.models.sage import GraphSAGE
from twinvec.nn.models.twinvec import Twinvec

__all__ = [
    "DAEMON",
    "GAT",
    "MERLIN",
    "ContentEncoder",
    "FullGraph",
    "GraphSAGE",
    "LightGCN",
    "Twinvec",
    "full_graph_inputs",
]
