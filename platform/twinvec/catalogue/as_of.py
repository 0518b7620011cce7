"""The time that the data of an ingest are of, as a user states it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from registry.models import utc_now
from twinvec.errors import CatalogueError

FIRST = datetime(1900, 1, 1, tzinfo=UTC)
FORMS = "write it as 2026-01-31 (00:00 UTC), 2026-01-31T18:30 (UTC) or 2026-01-31T18:30+01:00"


def read_time(stated: str | date | datetime) -> datetime:
    """Return a stated time in UTC.

    Args:
        stated: ISO 8601. Without a zone it is UTC; a day is its first moment.

    Raises:
        CatalogueError: If it cannot be read, lies in the future, or before 1900.

    Example:
        >>> read_time("2026-01-31T18:30+01:00").isoformat()
        '2026-01-31T17:30:00+00:00'
    """
    if isinstance(stated, str):
        try:
            moment = datetime.fromisoformat(stated.strip())
        except ValueError as error:
            raise CatalogueError(f"{stated!r} is no time: {error}", FORMS) from error
    else:
        moment = stated if isinstance(stated, datetime) else datetime.combine(stated, time())
    try:
        moment = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:  # a zone at the end of all years
        raise CatalogueError(f"{stated} is no time: {error}", FORMS) from error
    if moment > utc_now():
        raise CatalogueError(
            f"the data cannot be of {moment.isoformat()}, which is in the future",
            "times without a zone are UTC; add the zone, such as +01:00",
        )
    if moment < FIRST:
        raise CatalogueError(f"the data cannot be of {moment.isoformat()}, before {FIRST.year}", FORMS)
    return moment
