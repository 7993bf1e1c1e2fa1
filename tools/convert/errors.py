"""What a user of the converter did wrong, or what the toolkit could not do."""

from __future__ import annotations


class ConvertError(Exception):
    """One sentence with the place and the remedy."""
