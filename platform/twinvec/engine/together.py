"""Processes of a cluster that train together: Ray Train starts them, as `torchrun` does on one machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from twinvec.engine.on_ray import connected, import_ray
from twinvec.errors import StoreError, TwinvecError
from twinvec.settings import Settings

PREFIX = "TWINVEC_"


def asks_for_trainers(settings: Settings) -> bool:
    """Return whether the settings want several processes, and this is none of them."""
    return settings.engine == "ray" and settings.ray.trainers > 1 and "RANK" not in os.environ


def train_together(
    settings: Settings, work: Callable[[Mapping[str, Any]], None], arguments: Mapping[str, Any]
) -> None:
    """Run `work` in `settings.ray.trainers` processes of the cluster, each with a GPU if there are enough.

    All see the same settings and the home's folder, as processes of `torchrun` do. If one is lost, all start again and
    continue from their checkpoints.

    Args:
        settings: Settings of this process.
        work: Function that Ray can pickle; it is called with `arguments`.
        arguments: Values that Ray can pickle.

    Raises:
        StoreError: If the processes fail, or are lost more often than `ray.retries`.
    """
    environment = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    environment |= {f"{PREFIX}HOME": str(settings.home), f"{PREFIX}ENGINE": "local"}
    folder = os.getcwd()  # noqa: PTH109 - where a `twinvec.toml` may be

    def loop(values: dict[str, Any]) -> None:
        os.chdir(folder)
        os.environ.update(environment)
        work(values)

    options = settings.ray
    with connected(options.address):
        ray = import_ray()
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        gpus = ray.cluster_resources().get("GPU", 0) >= options.trainers
        trainer = TorchTrainer(
            loop,
            train_loop_config=dict(arguments),
            scaling_config=ScalingConfig(num_workers=options.trainers, use_gpu=gpus),
            run_config=RunConfig(
                storage_path=options.store or str(settings.paths.spill / "ray"),
                failure_config=FailureConfig(max_failures=options.retries),
            ),
        )
        try:
            trainer.fit()
        except TwinvecError:
            raise
        except Exception as error:
            raise StoreError(
                f"training on the cluster failed: {_first_cause(error)}",
                "see the message; with `ray.trainers` = 1 the command trains by itself",
            ) from error


def _first_cause(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1] if lines else repr(error)
