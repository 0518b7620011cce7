"""Processes that are forked from one in which the slow imports are done, since a test has many of them.

All workers of a run of tests share that one. The first that needs it starts it; it ends after the last of them.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "tests.warmed",
    "pipelines.image.training",
    "pipelines.text.finetuning",
    "tests.pipelines.update.updater",
    "tests.releases.live_reader",
    "tests.releases.pruner",
    "tests.releases.publisher",
)


@dataclass(frozen=True)
class Ended:
    """The end of a process: its exit status, as `subprocess` gives it, and what its function returned."""

    status: int
    result: Any


class Process:
    """A process that calls a function, with the environment variables of this one."""

    def __init__(
        self, environment: Mapping[str, str], function: Callable[..., object], *given: Any, **named: Any
    ) -> None:
        self._connection = _connected(_server()[0])
        self._connection.send_bytes(pickle.dumps(({**os.environ, **environment}, function, given, named)))
        self._pid: int = self._connection.recv()

    def is_alive(self) -> bool:
        """Return False if it has ended."""
        return not self._connection.poll()

    def kill(self) -> None:
        """Let it end at once."""
        os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> Ended:
        """Wait for its end."""
        if not self._connection.poll(300):
            self.kill()
        return Ended(*self._connection.recv())


def start(function: Callable[..., object], *given: Any, **named: Any) -> Process:
    """Call a function of a module in a process of its own."""
    return Process({}, function, *given, **named)


def run(function: Callable[..., object], *given: Any, **named: Any) -> Ended:
    """Call a function of a module in a process of its own, and wait for its end."""
    return start(function, *given, **named).wait()


def run_together(count: int, function: Callable[..., object], *given: Any) -> list[int]:
    """The same in so many processes, which know of each other as `torchrun` tells them; their exit statuses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    known = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    return [process.wait().status for process in [Process(known | rank, function, *given) for rank in ranks]]


def _connected(address: str) -> Connection[Any, Any]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)
        return Connection(client.detach())


@cache
def _server() -> tuple[str, Connection[Any, Any]]:
    """Return the address of the process to fork from, and a connection: the process ends when nobody has one."""
    run_of_tests = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    address = Path(tempfile.gettempdir()) / f"twinvec-{run_of_tests}.socket"
    folder = os.open(address.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with suppress(OSError, EOFError):
            return str(address), _held(address)
        address.unlink(missing_ok=True)
        command = [sys.executable, "-W", "ignore", "-m", "tests.forked", str(address)]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=ROOT)
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        return str(address), _held(address)
    finally:
        os.close(folder)


def _held(address: Path) -> Connection[Any, Any]:
    connection = _connected(str(address))
    connection.send_bytes(b"")
    connection.recv()
    return connection


def _serve(address: str) -> None:
    for name in IMPORTED:
        import_module(name)
    warnings.simplefilter("ignore")
    # Nobody waits for those who mind.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.create_server(address, family=socket.AF_UNIX, backlog=64) as server:
        print("ready", flush=True)  # noqa: T201
        os.dup2(2, 1)
        held: list[Connection[Any, Any]] = []
        while True:
            for each in wait([server, *held]):
                if isinstance(each, Connection):
                    held.remove(each)
                    if not held:
                        Path(address).unlink(missing_ok=True)
                        return
                    continue
                connection: Connection[Any, Any] = Connection(server.accept()[0].detach())
                task = connection.recv_bytes()
                if not task:
                    held.append(connection)
                    connection.send(None)
                elif os.fork() == 0:
                    _mind(connection, task)
                    os._exit(0)


def _mind(connection: Connection[Any, Any], task: bytes) -> None:
    """Let a process of its own do a task, and tell how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    reader, writer = Pipe(duplex=False)
    worker = os.fork()
    if worker == 0:
        status = 1
        try:
            environment, function, given, named = pickle.loads(task)
            os.environ.clear()
            os.environ.update(environment)
            writer.send(function(*given, **named))
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    writer.close()
    connection.send(worker)
    result = None
    with suppress(EOFError):
        result = reader.recv()
    connection.send((os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]), result))


if __name__ == "__main__":
    _serve(sys.argv[1])
