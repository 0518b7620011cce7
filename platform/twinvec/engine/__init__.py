"""Machines that share work: on which ones tasks run, and where their files lie."""

from twinvec.engine.cluster import Cluster, in_turn
from twinvec.engine.opening import open_cluster

__all__ = ["Cluster", "in_turn", "open_cluster"]
