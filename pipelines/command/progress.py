"""Display of progress on stderr: one line that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field

import typer

SECONDS = 5.0


@dataclass
class ProgressDisplay:
    """Callable that shows messages of progress to the user.

    Attributes:
        show: Prints one message.
    """

    show: Callable[[str], None]
    _shown: dict[str, float] = field(default_factory=dict)
    _every: float = SECONDS

    def __call__(self, message: str) -> None:
        """Show a message."""
        self.show(message)

    def count(self, step: str, done: int, total: int) -> None:
        """Show how much of a step is done: when it begins, when it ends, and every few seconds between."""
        now = time.monotonic()
        if done >= total or now - self._shown.get(step, -self._every) >= self._every:
            self._shown[step] = now
            self.show(f"{step}: {done:,} of {total:,}" if total > 1 else step)


@contextmanager
def shown() -> Iterator[ProgressDisplay]:
    """Show progress while the block runs; output of libraries goes to stderr meanwhile."""
    with redirect_stdout(sys.stderr):
        if not sys.stderr.isatty():
            yield ProgressDisplay(lambda message: typer.echo(message, err=True))
            return
        from rich.console import Console
        from rich.text import Text

        console = Console(stderr=True)
        with console.status("starting") as status:
            yield ProgressDisplay(lambda message: status.update(Text(message)), _every=0.1)
