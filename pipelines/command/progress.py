"""Progress on stderr: one line that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field

import typer

SECONDS = 5.0


@dataclass
class Progress:
    """Tells the user what is going on."""

    say: Callable[[str], None]
    _said: dict[str, float] = field(default_factory=dict)
    _every: float = SECONDS

    def __call__(self, message: str) -> None:
        """Say what is being done."""
        self.say(message)

    def count(self, step: str, done: int, total: int) -> None:
        """Say how much of a step is done, not too often: when it begins, when it ends, now and then between."""
        now = time.monotonic()
        if done >= total or now - self._said.get(step, -self._every) >= self._every:
            self._said[step] = now
            self.say(f"{step}: {done:,} of {total:,}" if total > 1 else step)


@contextmanager
def shown() -> Iterator[Progress]:
    """Show progress while the block runs; what libraries print meanwhile goes to stderr, too."""
    with redirect_stdout(sys.stderr):
        if not sys.stderr.isatty():
            yield Progress(lambda message: typer.echo(message, err=True))
            return
        from rich.console import Console
        from rich.text import Text

        console = Console(stderr=True)
        with console.status("starting") as status:
            yield Progress(lambda message: status.update(Text(message)), _every=0.1)
