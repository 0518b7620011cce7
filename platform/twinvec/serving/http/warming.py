"""Loading of what answers, before the first question: at the start, and after a promotion."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from twinvec.errors import TwinvecError
from twinvec.serving.related import ColdStart, Recommender

SECONDS = 1.0
LOG = logging.getLogger("twinvec.serving")


class Warmer:
    """Looks at what is live each second, and loads what is new: its shard, its lists, its encoders.

    Args:
        recommender: Answers for products of the catalogue.
        cold_start: Answers for new products; None where they are not loaded ahead.
    """

    def __init__(self, recommender: Recommender, cold_start: ColdStart | None) -> None:
        self.warmed: set[str] = set()
        self._recommender = recommender
        self._cold_start = cold_start
        self._followed: list[Callable[[], None]] = []
        self._looked = False
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """True once all that is live was loaded, or if nobody loads any ahead."""
        return self._thread is None or (bool(self.warmed) and self._looked)

    def follow(self, warm: Callable[[], None]) -> None:
        """Call `warm` at each look, too; it loads what another question needs, if it is not loaded yet."""
        if self._cold_start is not None:  # encoders are loaded ahead
            self._followed.append(warm)

    def start(self) -> None:
        """Begin to look."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, name="warmer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking, and wait for what is being loaded."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=SECONDS)

    def _run(self) -> None:
        while True:
            try:
                collection = self._recommender.live_collection()
                if collection is not None and collection not in self.warmed:
                    self._warm(collection)
            except Exception as error:  # the next look may find the store again
                LOG.error("what is live cannot be loaded: %s", error)
            for warm in self._followed:
                try:
                    warm()
                except Exception as error:  # the first question says it to who asks
                    LOG.error("what is live cannot be loaded: %s", error)
            self._looked = True
            if self._stopped.wait(SECONDS):
                return

    def _warm(self, collection: str) -> None:
        self._recommender.warm(collection)
        if self._cold_start is not None:
            try:
                self._cold_start.warm(collection)
            except TwinvecError as error:  # a release without encoders answers for its own products
                LOG.warning("%s does not answer for new products: %s", collection, error.message)
        # Only the newest: shards that are not live are let go, and opening one takes time.
        self.warmed.clear()
        self.warmed.add(collection)
        LOG.info("%s is loaded", collection)
