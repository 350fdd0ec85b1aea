"""How the house stands: what `/health` and `/metrics` ask of the database and the queue."""

from __future__ import annotations

from arq.connections import ArqRedis
from sqlalchemy import func, select, text

from auth.viewer import SYSTEM
from core.db import Database
from core.queue import any_alive
from models.generations import Generation


async def database_answers(db: Database) -> bool:
    async with db.read(SYSTEM) as session:
        return bool(await session.scalar(text("select true")))


async def redis_answers(redis: ArqRedis) -> bool:
    return bool(await redis.ping())


async def worker_lives(redis: ArqRedis) -> bool:
    """Some worker has reported within the last seconds."""
    return await any_alive(redis)


async def queue_figures(db: Database) -> dict[str, float]:
    """How many generations are active, and for how many seconds the one that has waited longest is overdue."""
    overdue = func.extract("epoch", func.now() - func.min(Generation.due_at))
    async with db.read(SYSTEM) as session:
        active, longest = (
            await session.execute(select(func.count(), overdue).where(Generation.step.is_not(None)))
        ).one()
    return {"generations_active": float(active), "generations_overdue_seconds": max(0.0, float(longest or 0))}
