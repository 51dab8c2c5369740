"""The judge: laws over the evidence. It knows nothing of how the product works, only what it promises.

Every law yields the cases that break it. No case, no doubt: exactly once.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from chaos.evidence import Evidence, Gap, Key, Trade

_EXAMPLES = 3


class Finding(NamedTuple):
    """A broken law: how often, and some of the cases."""

    law: str
    cases: int
    examples: str


class Balance(NamedTuple):
    """The sums, for people."""

    made: int
    sent: int
    received: int
    records: int
    quarantined: int
    raw: int
    dead_letters: int
    truth: int
    gaps: int
    facts: int
    duplicates: int
    unexplained: int


class Verdict(NamedTuple):
    """No findings: nothing was lost, nothing is there twice."""

    findings: list[Finding]
    balance: Balance


def judge(evidence: Evidence) -> Verdict:
    """Apply every law."""
    missing, on_record = _missing(evidence), net_gaps(evidence.gaps)
    laws: dict[str, Iterable[object]] = {
        "a record is in the spool twice": evidence.repeated,
        "record_no has a hole or begins late": _holes(evidence),
        "what was called durable is not in the spool": _not_durable(evidence),
        "a stored frame is not the one that was sent": _not_sent(evidence),
        "a line of a segment is no record": evidence.unreadable,
        "a segment did not reach the archive": evidence.unfinished,
        "a row of raw is there twice": evidence.raw_repeated,
        "a record is neither in raw nor a dead letter": _lost(evidence),
        "a record is in raw and a refused dead letter": _both(evidence),
        "raw or the dead letters have what the spool has not": _invented(evidence),
        "a row of raw differs from its record": _altered(evidence),
        "a dead letter is there twice": evidence.letters_repeated,
        "a segment is in two batches": _in_two_batches(evidence),
        "a batch is not loaded and transformed": _open_batches(evidence),
        "a batch has another number of rows than it says": _miscounted(evidence),
        "a trade is in the mart twice": evidence.facts_repeated,
        "a delivered trade is not in the mart": evidence.trades.keys() - evidence.facts.keys(),
        "the mart has a trade that was not delivered": evidence.facts.keys() - evidence.trades.keys(),
        "a trade of the mart is not what was traded": _false_trades(evidence),
        "a trade is missing and no gap is on record": missing - on_record - evidence.quarantined_trades,
        "a gap is on record and the trade was delivered": on_record & evidence.trades.keys(),
    }
    findings = [finding for law, cases in laws.items() if (finding := _finding(law, cases)) is not None]
    duplicates = len(evidence.repeated) + len(evidence.raw_repeated) + len(evidence.facts_repeated)
    balance = Balance(
        made=len(evidence.truth),
        sent=sum(map(len, evidence.sent)),
        received=sum(record.frame is not None for record in evidence.records.values()),
        records=len(evidence.records),
        quarantined=len(evidence.quarantined),
        raw=len(evidence.raw) + len(evidence.raw_repeated),
        dead_letters=sum(not is_loaded for is_loaded in evidence.letters.values()),
        truth=len(_expected(evidence)),
        gaps=len(missing & on_record),
        facts=len(evidence.facts) + len(evidence.facts_repeated),
        duplicates=duplicates,
        unexplained=sum(finding.cases for finding in findings) - duplicates,
    )
    return Verdict(findings, balance)


def net_gaps(gaps: Iterable[Gap]) -> set[Trade]:
    """Trades that are on record as missing for good."""
    opened: set[Trade] = set()
    closed: set[Trade] = set()
    for gap in gaps:
        trades = ((gap.product_id, trade_id) for trade_id in range(gap.first, gap.last + 1))
        (closed if gap.is_closed else opened).update(trades)
    return opened - closed


def _finding(law: str, cases: Iterable[object]) -> Finding | None:
    found = sorted(map(str, cases))
    return Finding(law, len(found), "; ".join(found[:_EXAMPLES])) if found else None


def _holes(evidence: Evidence) -> Iterator[str]:
    """1, 2, 3 … in every session; a segment that was set aside is on record, and so is the hole it leaves."""
    highest: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for session, number in evidence.records.keys() | evidence.quarantined.keys():
        highest[session] = max(highest[session], number)
        known[session] += 1
    for session, count in known.items():
        if highest[session] != count:
            yield f"session {session}: {count} of {highest[session]} records"


def _not_durable(evidence: Evidence) -> Iterator[str]:
    for session, number in evidence.durable.items():
        key = session, number
        if number and key not in evidence.records and key not in evidence.quarantined:
            yield f"session {session}: record {number}"


def _not_sent(evidence: Evidence) -> Iterator[str]:
    """What a connection brought are the first frames of one that the exchange served, in the same order."""
    connections: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
    damaged = {session for session, _ in evidence.quarantined}
    for (session, _), record in sorted(evidence.records.items()):
        if record.frame is not None and session not in damaged:
            connections[evidence.started[session], session, record.connection_no].append(record.frame)
    served = iter(evidence.sent)
    for (_, session, number), frames in sorted(connections.items()):
        if not any(sent[: len(frames)] == frames for sent in served):
            yield f"session {session}, connection {number}: {len(frames)} frames"
            return  # all later ones would be compared with what is behind it


def _lost(evidence: Evidence) -> set[Key]:
    return evidence.records.keys() - evidence.raw.keys() - _refused(evidence)


def _both(evidence: Evidence) -> set[Key]:
    return evidence.raw.keys() & _refused(evidence)


def _invented(evidence: Evidence) -> set[Key]:
    return (evidence.raw.keys() | evidence.letters.keys()) - evidence.records.keys()


def _refused(evidence: Evidence) -> set[Key]:
    return {key for key, is_loaded in evidence.letters.items() if not is_loaded}


def _altered(evidence: Evidence) -> Iterator[Key]:
    for key, content in evidence.raw.items():
        if key in evidence.records and evidence.records[key].content != content:
            yield key


def _in_two_batches(evidence: Evidence) -> list[str]:
    counted = Counter(segment for batch in evidence.batches for segment in batch["segments"])
    return [segment for segment, count in counted.items() if count > 1]


def _open_batches(evidence: Evidence) -> list[str]:
    return [batch["batch_id"] for batch in evidence.batches if not (batch["is_loaded"] and batch["is_transformed"])]


def _miscounted(evidence: Evidence) -> Iterator[str]:
    said: Mapping[str, int] = {batch["batch_id"]: batch["output_rows"] or 0 for batch in evidence.batches}
    for batch_id in said.keys() | evidence.rows_by_batch.keys():
        if said.get(batch_id, 0) != evidence.rows_by_batch.get(batch_id, 0):
            yield f"{batch_id}: {said.get(batch_id)} said, {evidence.rows_by_batch.get(batch_id, 0)} in raw"


def _false_trades(evidence: Evidence) -> Iterator[Trade]:
    for trade, terms in evidence.facts.items():
        if evidence.truth.get(trade) != terms:
            yield trade


def _expected(evidence: Evidence) -> set[Trade]:
    """Trades that were made between the first that was delivered and the last that anything is known of."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for product, trade_id in evidence.trades:
        first[product] = min(first.get(product, trade_id), trade_id)
        last[product] = max(last.get(product, trade_id), trade_id)
    for gap in evidence.gaps:
        last[gap.product_id] = max(last.get(gap.product_id, gap.last), gap.last)
    return {
        (product, trade_id)
        for product, trade_id in evidence.truth
        if product in first and first[product] <= trade_id <= last[product]
    }


def _missing(evidence: Evidence) -> set[Trade]:
    return _expected(evidence) - evidence.trades.keys()
