"""Each safeguard taken away in turn, with the kills that need it: the judge has to find out."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from chaos import points, safeguards
from chaos.campaign import Campaign, Plan, Report
from chaos.scheduler import Attack

_MINUTES = 6.0


class Result(NamedTuple):
    """What a run without a safeguard showed."""

    without: str | None
    report: Report

    @property
    def is_found(self) -> bool:
        """Whether the judge objects."""
        return bool(self.report.verdict.findings)


def plan_without(safeguard: str | None, *, seed: int, rate: int) -> Plan:
    """A short run with the kills that need this safeguard; with None all of them, and every safeguard there."""
    by_safeguard: dict[str, tuple[str, ...]] = {
        safeguards.WRITE_AHEAD: ("job done, before the ledger", "before the ledger's loaded"),
        safeguards.ADOPTION: ("submitted, before the reply", "job done, before the ledger"),
        safeguards.LOCK_HAND_OVER: (),
        safeguards.CONTIGUITY: (),
        safeguards.CLOSE_AFTER_SUCCESS: ("in a merge", "at its start"),
    }
    names = (
        {name for names in by_safeguard.values() for name in names} if safeguard is None else by_safeguard[safeguard]
    )
    # Composed anew after a kill, a batch is the same as before, unless more was sealed: every try of a run has to die.
    chance, kills = (1.0, 8) if safeguard == safeguards.WRITE_AHEAD else (0.6, 6 if safeguard is None else 4)
    attack = Attack(chance=chance, points=[points.point_named(name) for name in sorted(names)])
    return Plan(
        seed=seed,
        kills=kills if names else 0,
        minutes=_MINUTES,
        rate=rate,
        attack=attack,
        pace=None,
        transform_every=2 if safeguard in (None, safeguards.CLOSE_AFTER_SUCCESS) else 100,
        damage=int(safeguard in (None, safeguards.CONTIGUITY)),
        least_runs=6 if safeguard in (None, safeguards.LOCK_HAND_OVER) else 2,
        hang=safeguard in (None, safeguards.LOCK_HAND_OVER),
        without=safeguard,
    )


def run_all(*, seed: int, rate: int, tell: Callable[[str], None]) -> list[Result]:
    """Every safeguard, and first of all a run with all of them."""
    results = []
    for safeguard in (None, *safeguards.SAFEGUARDS):
        tell(f"without {safeguard}" if safeguard else "with every safeguard")
        with tempfile.TemporaryDirectory(prefix="pulse-chaos-", ignore_cleanup_errors=True) as folder:
            report = Campaign(plan_without(safeguard, seed=seed, rate=rate), Path(folder), tell).run()
        results.append(Result(safeguard, report))
        tell(_line(results[-1]))
    return results


def table(results: list[Result]) -> str:
    """The results, one a line."""
    lines = [f"{'without':<28} {'kills':>5} {'verdict':<10} what the judge says"]
    return "\n".join([*lines, *map(_line, results)])


def _line(result: Result) -> str:
    findings = result.report.verdict.findings
    said = "; ".join(f"{finding.law} ({finding.cases})" for finding in findings) or "exactly once"
    name = result.without or "nothing (control)"
    return f"{name:<28} {result.report.tally.killed:>5} {'found' if result.is_found else 'not found':<10} {said}"
