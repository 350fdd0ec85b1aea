"""How the compiled path says that a field is not for it."""

from __future__ import annotations


class LeftToExecution(Exception):
    """Ordinary execution answers this: it is not covered, or something is odd that it has the words for."""
