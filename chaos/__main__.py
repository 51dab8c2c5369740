"""`python -m chaos`: prove exactly once, from socket to mart, under fire."""

import argparse
import secrets
import signal
import sys
import tempfile
from pathlib import Path

from chaos import mutations, safeguards
from chaos.campaign import Campaign, Plan
from chaos.report import report
from chaos.scheduler import Attack

_ATTACK = Attack(chance=0.75, enough=4, disk_full=0.04, twins=0.06)


def main(arguments: list[str] | None = None) -> int:
    """0: as it should be; 1: the judge objects, or in a run without a safeguard does not."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = _parser().parse_args(arguments)
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    _tell(f"seed {seed}")
    if options.mutations:
        results = mutations.run_all(seed=seed, rate=options.rate, tell=_tell)
        _say(mutations.table(results))
        return int(any(result.is_found == (result.without is None) for result in results))
    if options.without:
        plan = mutations.plan_without(options.without, seed=seed, rate=options.rate)
    else:
        plan = Plan(seed, options.kills, options.minutes, options.rate, _ATTACK)
    with tempfile.TemporaryDirectory(
        prefix="pulse-chaos-", delete=not options.keep, ignore_cleanup_errors=True
    ) as folder:
        result = Campaign(plan, Path(folder), _tell).run()
    _say(report(result))
    if options.keep:
        _say(f"everything is in {folder}")
    if options.without:
        return int(not result.verdict.findings)
    if result.tally.killed < plan.kills:
        _say(f"only {result.tally.killed} of {plan.kills} kills in {plan.minutes:g} minutes")
        return 1
    return int(bool(result.verdict.findings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of everything random; printed; by default another one each time")
    parser.add_argument("--kills", type=int, default=200, help="kill -9 this often (default: 200)")
    parser.add_argument("--minutes", type=float, default=40, help="attack no longer than this (default: 40)")
    parser.add_argument("--rate", type=int, default=800, help="messages a second of the exchange (default: 800)")
    parser.add_argument("--keep", action="store_true", help="keep the folder with spool, warehouse and logs")
    without = parser.add_mutually_exclusive_group()
    without.add_argument("--without", choices=safeguards.SAFEGUARDS, help="take this safeguard away; must be found out")
    without.add_argument("--mutations", action="store_true", help="take away each safeguard in turn")
    return parser


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
