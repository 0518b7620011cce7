"""Ray: the connection to its cluster, and tasks on its machines."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from twinvec.errors import SettingsError, StoreError, TwinvecError

if TYPE_CHECKING:
    from types import ModuleType

    from twinvec.engine.cluster import ResultT, Run, TaskT


def import_ray() -> ModuleType:
    """Return the module `ray`.

    Raises:
        SettingsError: If it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise SettingsError(
            "engine is 'ray', which is not installed",
            "install it with `pip install twinvec[ray]`, or set `engine` to local",
        ) from error
    module: ModuleType = ray
    return module


@contextmanager
def connected(address: str | None) -> Iterator[int]:
    """Connect to a cluster, and yield its number of cores; a connection that is there already is used and kept.

    Args:
        address: `auto`, `HOST:PORT` or `ray://…`; None starts a cluster of this machine, which ends with the context.

    Raises:
        SettingsError: If Ray is not installed, or no cluster answers.
    """
    ray = import_ray()
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **({} if address else {"include_dashboard": False}),
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise SettingsError(
                f"no cluster of Ray answers at {address or 'this machine'}: {str(error).splitlines()[0]}",
                "start one with `ray start --head`, and set ray.address to its address, or `engine` to local",
            ) from error
    try:
        yield max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        if ours:
            ray.shutdown()


def run_with(retries: int) -> Run:
    """Return the function that runs tasks on the connected cluster, a core each.

    Args:
        retries: How often a task is run again after its worker or machine was lost; errors of the task are not retried.
    """

    def run(work: Callable[[TaskT], ResultT], tasks: Sequence[TaskT]) -> list[ResultT]:
        ray = import_ray()
        remote: Any = ray.remote(num_cpus=1, max_retries=retries)(work)
        running = [remote.remote(task) for task in tasks]
        try:
            results: list[ResultT] = ray.get(running)
        except KeyboardInterrupt:
            for task in running:
                ray.cancel(task)
            raise
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, TwinvecError):
                raise cause from None
            raise StoreError(
                f"a task on the cluster failed: {str(cause).splitlines()[0] if str(cause) else cause!r}",
                "see the message; if it is of memory, raise ray.partitions or ray.memory_limit",
            ) from error
        except ray.exceptions.RayError as error:
            raise StoreError(
                f"the cluster lost a task {retries + 1} times: {str(error).splitlines()[0]}",
                "see that its machines run, or raise ray.retries",
            ) from error
        return results

    return run
