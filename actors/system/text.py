"""Text for a person: plurals, and names from files and models made safe to print."""

from __future__ import annotations


def plural(count: int, noun: str, more: str | None = None) -> str:
    """`1 frame`, `2 frames`; `more` is the plural where it is not noun + "s"."""
    return f"{count} {noun if count == 1 else more or noun + 's'}"


def printable(text: str) -> str:
    """The text with control characters, escape sequences included, shown as \\x1b and the like.

    A name comes from a model, a camera or a file, and may hold anything.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
