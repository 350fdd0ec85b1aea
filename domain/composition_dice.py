"""The composer's dice: seeded by words, so that every process casts the same."""

from __future__ import annotations

from random import Random


def dice(*salt: object) -> Random:
    """Dice that fall the same for the same salt, in any process and on any machine (text is hashed by SHA-512)."""
    return Random("|".join(map(str, salt)))  # noqa: S311 - music, not secrets
