"""What a run prints."""

from collections.abc import Iterable, Mapping

from chaos.campaign import Report
from chaos.points import DBT_POINTS, POINTS, STREAMER_POINTS


def report(result: Report) -> str:
    """Kills and faults by point, the balance, and the verdict."""
    kills, balance = result.tally.kills, result.verdict.balance
    lines = ["", f"kills: {result.tally.killed}"]
    lines += _table(kills)
    never = [
        f"{point.step}: {point.name}"
        for point in (*POINTS, *DBT_POINTS, *STREAMER_POINTS)
        if not any(where == point.name for _, where in kills)
    ]
    if never:
        lines.append(f"  nobody died at: {', '.join(never)}")
    lines += ["", f"faults: {sum(result.tally.faults.values())}"]
    lines += _table(result.tally.faults)
    lines += ["", f"runs: {result.runs}, of which {result.failed_runs} ended red and were gone on with by the next"]
    lines += [
        "",
        "balance",
        f"  trades of the exchange from first to last   {balance.made:>10,}",
        f"  frames sent to all connections              {balance.sent:>10,}",
        f"  frames received                             {balance.received:>10,}",
        f"  records in the spool (with our own)         {balance.records:>10,}",
        f"  of segments set aside                       {balance.quarantined:>10,}",
        f"  rows of raw                                 {balance.raw:>10,}",
        f"  + refused lines in dead letters             {balance.dead_letters:>10,}",
        f"  trades made while captured                  {balance.truth:>10,}",
        f"  - missing, as the gaps on record say        {balance.gaps:>10,}",
        f"  rows of fct_trades                          {balance.facts:>10,}",
        f"  duplicates                                  {balance.duplicates:>10,}",
        f"  unexplained                                 {balance.unexplained:>10,}",
        "",
    ]
    lines += [f"BROKEN: {law}: {count} (for example {examples})" for law, count, examples in result.verdict.findings]
    lines.append("verdict: " + ("exactly once" if not result.verdict.findings else "NOT exactly once"))
    lines.append(f"the exchange made {2 * balance.made / result.seconds:.0f} matches and tickers a second")
    lines.append(f"seed {result.plan.seed}, {result.seconds:.0f} s")
    return "\n".join(lines)


def _table(counts: Mapping[tuple[str, str], int]) -> Iterable[str]:
    for (part, what), count in sorted(counts.items()):
        yield f"  {part:<20} {what:<64} {count:>6}"
