"""Three vendors for people: `python -m tests.vendors`, then start the product with the variables that it prints.

They are slower than in tests, so that there is something to watch, and the prompt says what shall happen: with
"moderated", "fail", "hang", "silent" (no callbacks) or "twice" in it.
"""

from __future__ import annotations

import asyncio
import base64
import signal
import sys

from tests.vendors import Deliveries, Ending, Fal, Replicate, Story, Suno
from tests.vendors.script import Call

PACE_SECONDS = 2.0  # between two states; real ones need half a minute
PORTS = (8701, 8702, 8703)  # the same at every start, so that the product's settings stay true
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"three vendors on loopback").decode()  # for the same reason
ENDINGS = {b"moderated": Ending.MODERATED, b"fail": Ending.FAILED, b"hang": Ending.NEVER}


def told(call: Call) -> Story:
    """The story that the words of an order ask for."""
    ending = next((ending for word, ending in ENDINGS.items() if word in call.body), Ending.SUCCEEDED)
    skipped = frozenset({"*"} if b"silent" in call.body else ())
    return Story(PACE_SECONDS, ending, Deliveries(copies=2 if b"twice" in call.body else 1, skipped=skipped))


async def main() -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with Suno(PORTS[0]) as suno, Replicate(PORTS[1]) as replicate, Fal(PORTS[2]) as fal:
        replicate.webhook_secret = WEBHOOK_SECRET
        for vendor in (suno, replicate, fal):
            vendor.script.tell = told
        variables = {
            "SUNO_API_KEY": suno.key,
            "SUNO_BASE_URL": suno.base_url,
            "REPLICATE_API_TOKEN": replicate.key,
            "REPLICATE_BASE_URL": replicate.base_url,
            "REPLICATE_WEBHOOK_SECRET": replicate.webhook_secret,
            "FAL_KEY": fal.key,
            "FAL_QUEUE_URL": fal.base_url,
            "FAL_JWKS_URL": fal.jwks_url,
        }
        lines = [f"export {name}='{value}'" for name, value in variables.items()]
        sys.stdout.write("\n".join((*lines, "# Listening; Ctrl-C ends it.", "")))
        sys.stdout.flush()
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
