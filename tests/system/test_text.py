"""Plurals, and names that are safe to print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.system.text import plural, printable


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("frame",), "0 frames"),
        (1, ("frame",), "1 frame"),
        (2, ("frame",), "2 frames"),
        (1, ("class", "classes"), "1 class"),
        (3, ("class", "classes"), "3 classes"),
    ],
)
def test_plurals(count: int, words: tuple[str, ...], text: str) -> None:
    assert plural(count, *words) == text


@given(st.text())
def test_printable_text_has_no_control_character_and_keeps_what_is_harmless(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


def test_an_escape_sequence_is_shown_escaped() -> None:
    assert printable("\x1b[31mred\n[/b]") == "\\x1b[31mred\\n[/b]"
