"""What is true of the event log without a database."""

from __future__ import annotations

from datetime import timedelta

RETENTION = timedelta(days=7)  # how long a subscriber may be away and still resume without a gap
PRUNE_MARGIN = timedelta(hours=1)  # kept beyond that, since a cursor is older than the events that follow it
