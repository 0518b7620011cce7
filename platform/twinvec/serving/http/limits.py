"""Limits of a caller: requests in a time, and requests at once."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from twinvec.serving.http.errors import RequestError


class Limiter:
    """Counts the requests of callers in this process.

    Args:
        rate: Requests of a caller in a time, as `100/second`; None for no limit.
        concurrency: Requests of a caller at once.
    """

    def __init__(self, rate: str | None, concurrency: int) -> None:
        self._rate: RateLimitItem | None = parse(rate) if rate is not None else None
        self._window = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._concurrency = concurrency
        self._running: Counter[str] = Counter()

    @contextmanager
    def admitted(self, caller: str) -> Iterator[None]:
        """Count a request of a caller for as long as the block runs.

        Raises:
            RequestError: With status 429, if the caller has no request left.
        """
        if self._rate is not None and not self._window.hit(self._rate, caller):
            reset = self._window.get_window_stats(self._rate, caller).reset_time - time.time()
            raise _too_many(f"more than {self._rate} of {caller!r}", max(1, math.ceil(reset)))
        if self._running[caller] >= self._concurrency:
            raise _too_many(f"more than {self._concurrency} requests of {caller!r} at once", 1)
        self._running[caller] += 1
        try:
            yield
        finally:
            self._running[caller] -= 1


def _too_many(what: str, seconds: int) -> RequestError:
    return RequestError(
        429,
        what,
        f"ask again in {seconds} s; the operator sets serving.limits",
        (("retry-after", str(seconds)),),
    )
