"""Who asks. Row-level security reads `kind` and `user_id`; everything else is a convenience for the fields."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID


@dataclass(frozen=True)
class Viewer:
    """One of the four actors. `session_id` is the family of the refresh token that the access token belongs to."""

    kind: Literal["anonymous", "user", "admin", "system"]
    user_id: UUID | None = None
    session_id: UUID | None = None
    expires_at: datetime | None = None

    @property
    def signed_in(self) -> bool:
        return self.user_id is not None


ANONYMOUS = Viewer("anonymous")
SYSTEM = Viewer("system")  # the worker, and what happens before somebody is known (sign-in)
