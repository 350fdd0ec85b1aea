"""What is stored. Importing the package loads every table, so that `Row.metadata` is whole."""

from models import accounts, events, generations, media, track_lists, tracks, versions
from models.base import Row

__all__ = ["Row", "accounts", "events", "generations", "media", "track_lists", "tracks", "versions"]
