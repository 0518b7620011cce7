"""The log of the server: a line of JSON for each request and each message."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import orjson

from twinvec.serving.http.guard import Served

LOG = logging.getLogger("twinvec.serving.requests")


class JsonLines(logging.Formatter):
    """One object a record: time, level, message, and the fields of a request."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **getattr(record, "request", {}),
        }
        message = record.getMessage()
        if message:
            line["message"] = message.encode("utf-8", "replace").decode("utf-8")
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode("utf-8")


def log_to_stderr() -> None:
    """Write what the server says to stderr as lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger("twinvec.serving")
    root.handlers[:] = [handler]
    # No line tells them, and to find them out takes as long as to write it.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root.setLevel(logging.INFO)
    root.propagate = False


def log_request(request: Served) -> None:
    """Write the line of a request."""
    fields = dict(vars(request))
    fields["path"] = request.path.encode("utf-8", "replace").decode("utf-8")
    fields["milliseconds"] = round(fields.pop("seconds") * 1000, 3)
    # Not `info`, which looks for the line of code that calls it, at every request.
    if LOG.isEnabledFor(logging.INFO):
        record = logging.LogRecord(LOG.name, logging.INFO, "", 0, "", (), None)
        record.request = fields
        LOG.handle(record)
