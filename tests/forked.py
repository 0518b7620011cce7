"""Processes that are forked from one in which the slow imports are done, since a test has many of them."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.warmed", "pipelines.image.training", "pipelines.text.finetuning"])


def start(function: Callable[..., None], *arguments: Any, together: int = 1) -> list[ForkServerProcess]:
    """Call a function of a module in so many processes, which know of each other as `torchrun` tells them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    known = {"WORLD_SIZE": together, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = []
    for rank in range(together):
        environment = known | {"RANK": rank, "LOCAL_RANK": rank} if together > 1 else {}
        process = CONTEXT.Process(target=_call, args=(environment, function, arguments))
        process.start()
        started.append(process)
    return started


def run(function: Callable[..., None], *arguments: Any, together: int = 1) -> list[int | None]:
    """The same, and wait until they end; their exit codes."""
    started = start(function, *arguments, together=together)
    for process in started:
        process.join(timeout=300)
        if process.exitcode is None:
            process.kill()
    return [process.exitcode for process in started]


def _call(environment: dict[str, object], function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ.update({name: str(value) for name, value in environment.items()})
    function(*arguments)
