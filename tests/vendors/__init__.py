"""Vendors to test against: real HTTP servers on the loopback that speak each vendor's protocol, quirks included.

    async with Suno() as suno, Replicate() as replicate, Fal() as fal:
        suno.script.meet("create", UNANSWERED)      # accepted and charged, and the connection breaks
        suno.script.story = Story(ending=Ending.MODERATED)
        ... point the product at suno.base_url, let it work ...
        assert len(suno.charged()) == 1

`script` says how a vendor behaves, `journal` what it heard, `deliveries` what it called back, `tasks` what became of
what was asked. With no script a vendor is well. `python -m tests.vendors` starts all three for people.
"""

from tests.vendors.fal import Fal
from tests.vendors.replicate import Replicate
from tests.vendors.script import (
    LOST,
    UNANSWERED,
    Deliveries,
    Ending,
    Fault,
    Forgery,
    Rate,
    Raw,
    Refusal,
    Script,
    Story,
    answered_wrongly,
    refused,
    slow,
)
from tests.vendors.shelf import Flaw
from tests.vendors.suno import Suno

__all__ = [
    "LOST",
    "UNANSWERED",
    "Deliveries",
    "Ending",
    "Fal",
    "Fault",
    "Flaw",
    "Forgery",
    "Rate",
    "Raw",
    "Refusal",
    "Replicate",
    "Script",
    "Story",
    "Suno",
    "answered_wrongly",
    "refused",
    "slow",
]
