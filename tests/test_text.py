from __future__ import annotations

import json
import os

import hypothesis.strategies as st
from hypothesis import given

from twinvec.text import is_valid, printable, valid

ANY = st.text(st.characters(codec=None))


@given(ANY)
def test_what_is_valid_stays_and_what_is_not_becomes_valid(text: str) -> None:
    made = valid(text)
    assert is_valid(made)
    assert made == text if is_valid(text) else made != text
    assert valid(made) == made


def test_surrogates_are_joined_or_replaced() -> None:
    assert valid("\ud83d\ude00") == "😀"
    assert valid(json.loads(r'"a\ud800b"')) == "a\ufffdb"
    assert valid(os.fsdecode(b"caf\xe9.csv")) == "caf\ufffd.csv"


def test_a_terminal_gets_no_commands() -> None:
    assert printable("\x1b]0;owned\x07 é\n\ttab \x9b2J") == "\\x1b]0;owned\\x07 é\n\ttab \\x9b2J"
