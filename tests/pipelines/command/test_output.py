"""Tables that fit, and tables that do not."""

from __future__ import annotations

import pytest

from pipelines.command.output import WIDTH, print_table

WORD = "incomprehensibilities"


@pytest.mark.parametrize("columns", [5, 40])
def test_no_word_of_a_table_is_broken(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["row", *(f"column{number}" for number in range(columns))]
    print_table("Title", names, [("first", *[WORD] * columns), ("second", *[0.5] * columns)])
    lines = capsys.readouterr().out.splitlines()
    text = "\n".join(lines)
    assert all(text.count(name) >= 1 for name in names[1:])
    assert (text.count(WORD), text.count("0.5000")) == (columns, columns)
    assert max(map(len, lines)) <= WIDTH
    assert ("first" in lines) == (columns == 40), "a row is a list of values only where columns do not fit"
