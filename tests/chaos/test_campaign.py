"""The short form of `make chaos`: the real parts, at least 25 kills, every answer judged."""

import random
from pathlib import Path

import pytest

from chaos.campaign import Campaign, Plan
from chaos.report import report
from chaos.scheduler import Attack

KILLS = 25


@pytest.mark.long
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled_under_fire(tmp_path: Path) -> None:
    """Streamer, exchange, warehouse and the tasks are killed; in the end the books balance to the record."""
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    plan = Plan(
        seed=seed,
        kills=KILLS,
        minutes=10,
        rate=800,
        attack=Attack(chance=0.85, enough=4, disk_full=0.04, twins=0.05),
        pace=1.2,
        transform_every=5,
    )

    result = Campaign(plan, tmp_path, print).run()

    print(report(result))
    assert result.verdict.findings == []
    assert result.tally.killed >= KILLS
    assert len(result.tally.kills) > KILLS / 3, "kills at many different points"
    assert result.verdict.balance.raw > 5_000
