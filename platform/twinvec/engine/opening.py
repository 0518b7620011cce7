"""The cluster that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twinvec.engine.cluster import Cluster
from twinvec.settings import Settings


@contextmanager
def open_cluster(settings: Settings) -> Iterator[Cluster | None]:
    """Yield the cluster of `settings.ray`, or None if the engine is `local`.

    Raises:
        SettingsError: If the engine is `ray`, and Ray is not installed or its cluster does not answer.
    """
    if settings.engine == "local":
        yield None
        return
    from twinvec.engine import on_ray

    options = settings.ray
    with on_ray.connected(options.address) as cores:
        yield Cluster(
            on_ray.run_with(options.retries),
            options.store or str(settings.paths.spill / "ray"),
            options.partitions or 2 * cores,
            options.memory_limit,
        )
