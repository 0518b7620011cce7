"""Forks a process for each task, since its own imports take seconds; a task may be killed at a step.

A line of JSON in, `{"answer": FILE, "task": "command", …}`; when the process has ended, FILE has its exit status as
`subprocess` gives it, and what the task returned.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import tests.warmed  # noqa: F401
from tests.releases import live_reader, pruner, publisher, switcher

TASKS: dict[str, Callable[..., Any]] = {
    "command": switcher.run,
    "publish": publisher.publish,
    "prune": pruner.prune,
    "read": live_reader.read,
    "sellers": publisher.make_sellers,
}


def work(task: dict[str, Any]) -> None:
    """Do a task, and write what it returns beside its answer."""
    answer, name = Path(task.pop("answer")), task.pop("task")
    result = TASKS[name](**task)
    answer.with_suffix(".result").write_text(json.dumps(result))


def mind(task: dict[str, Any]) -> None:
    """Let a process of its own do a task, and tell how it ended."""
    answer = Path(task["answer"])
    worker = os.fork()
    if worker == 0:
        try:
            work(task)
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    result = answer.with_suffix(".result")
    told = json.loads(result.read_text()) if status == 0 else None
    answer.with_suffix(".new").write_text(json.dumps({"status": status, "result": told}))
    answer.with_suffix(".new").rename(answer)


def reap(options: int) -> None:
    """Wait for those who mind and have ended, or for all of them."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def main() -> None:
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        if os.fork() == 0:
            mind(json.loads(line))
            os._exit(0)
        reap(os.WNOHANG)
    reap(0)


if __name__ == "__main__":
    main()
