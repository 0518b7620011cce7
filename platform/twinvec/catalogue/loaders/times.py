"""Times as logs write them, read in SQL so that every format reads them alike."""

from __future__ import annotations

from collections.abc import Sequence

from twinvec.catalogue.snapshot import quoted

UNREAD = "time cannot be read"
# Years that a time of a shop can be of; databases write others for "none" (0001, 9999).
FIRST, LAST = "1900-01-01", "2262-01-01"
# Numbers since 1970 below these are seconds (to the year 5138), milliseconds, microseconds, nanoseconds.
_UNITS = ((1e11, "{number} * 1e6"), (1e14, "{number} * 1e3"), (1e17, "{number}"), (1e20, "{nano}"))
# A number that is a date (20240131) is nothing that a log counts in seconds: the September of 1970.
_DATE = r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"


def time_of(column: str, formats: Sequence[str] = ()) -> str:
    """Return SQL for the time in the text `column`, as `TIMESTAMPTZ`: NULL where none can be read.

    It is read by the first of `formats` that fits, else as a number of seconds, milliseconds, microseconds or
    nanoseconds since 1970, told apart by its size, else as ISO 8601. Without a zone it is UTC. An order of day and
    month is never guessed.

    Args:
        column: SQL of the text, without space around it.
        formats: Formats of `strptime`, such as `%d/%m/%Y %H:%M`.
    """
    number = f"TRY_CAST({column} AS DOUBLE)"
    # A double has too few digits for nanoseconds, but enough for the microseconds of them.
    nano = f"coalesce(TRY_CAST({column} AS BIGINT) // 1000, {number} / 1000)"
    cases = (f"WHEN {number} < {most} THEN {unit.format(number=number, nano=nano)}" for most, unit in _UNITS)
    micros = f"CASE {' '.join(cases)} END"
    counted = (
        f"CASE WHEN {number} < 0 OR isnan({number}) OR regexp_full_match({column}, '{_DATE}') THEN NULL "
        f"ELSE make_timestamptz(TRY_CAST(round({micros}) AS BIGINT)) END"
    )
    iso = f"CASE WHEN {number} IS NULL THEN TRY_CAST({column} AS TIMESTAMPTZ) END"
    told = f"TRY_STRPTIME({column}, [{', '.join(map(quoted, formats))}])::TIMESTAMPTZ" if formats else "NULL"
    return in_range(f"coalesce({told}, {counted}, {iso})")


def in_range(time: str) -> str:
    """Return SQL of a time, or NULL if it is of no year that a shop can have seen."""
    return f"CASE WHEN {time} > TIMESTAMPTZ '{FIRST}' AND {time} < TIMESTAMPTZ '{LAST}' THEN {time} END"
