"""A real cluster of two nodes of Ray on this machine, a core each."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """The cluster, to which this process is connected; nodes may be added and removed.

    It ends with the file's tests, and takes its handler of SIGTERM and its processes with it.
    """
    pytest.importorskip("ray", reason="Ray is not installed: pip install twinvec[ray]")
    from ray.cluster_utils import Cluster

    from twinvec.engine.on_ray import import_ray

    ray = import_ray()
    handler = signal.getsignal(signal.SIGTERM)
    options: Any = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    with pytest.MonkeyPatch.context() as patched:
        # Workers find the tests' modules as this process does.
        patched.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
        cluster = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
        cluster.add_node(**options)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]
    signal.signal(signal.SIGTERM, handler)
