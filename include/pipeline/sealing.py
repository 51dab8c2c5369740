"""Step 1: what the streamers have written becomes complete, proven and immutable."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from include.coinbase.contract import Contracts
from include.config import PipelineConfig
from include.pipeline.sealer_process import SealerProcess
from include.spool import SealKind, SealOutcome, SealReport, Spool, State, seal_all

#: Less than this for each process is sealed sooner than the process has started.
PROCESS_WORTH_BYTES = 16 * 1024 * 1024


class SegmentsQuarantined(Exception):
    """This run set segments aside; every other segment was sealed.

    Raised once, by the run that quarantines: a repetition finds nothing new and succeeds. So a scheduler must not
    retry on it, or nobody sees it. The following runs load the rest; the missing segment shows as a hole in
    record_no.
    """


def seal_segments(spool: Spool, config: PipelineConfig) -> dict[str, Any]:
    """Rotate, lock, validate and seal every segment. One whose writer hangs waits for the next run, reported as busy.

    Messages are compared with their contracts; `drift` in the outcome counts what differs, by kind, and stops nothing.
    A backlog is sealed by several processes, which end with this call. Raises SegmentsQuarantined after everything
    else is sealed, OSError when the disk refuses, SealerDied when such a process was killed.
    """
    report = _seal_all(spool, config)
    quarantined = report.of(SealKind.QUARANTINED)
    if quarantined:
        reasons = "; ".join(f"{outcome.name.file_name}: {outcome.reason}" for outcome in quarantined)
        raise SegmentsQuarantined(
            f"{len(quarantined)} segments break the format and were set aside, the others were sealed. {reasons}. "
            f"Hint: read the .reason.json beside them in {spool.folder(State.QUARANTINED)}"
        )
    return _outcome(spool, report)


def _seal_all(spool: Spool, config: PipelineConfig) -> SealReport:
    usage = spool.usage([State.ACTIVE, State.SEALING]).values()
    segments, size = (sum(column) for column in zip(*usage, strict=True))
    processes = min(config.seal_processes, segments, size // PROCESS_WORTH_BYTES)
    if processes > 1:
        return _seal_in_processes(spool, config.seal_timeout_seconds, processes)
    return seal_all(spool, config.seal_timeout_seconds, inspector=Contracts.load())


def _seal_in_processes(spool: Spool, timeout_seconds: float, processes: int) -> SealReport:
    """As `seal_all`. What one process fails at is raised after all have stopped."""
    rotated = spool.rotate_all()
    deadline = time.monotonic() + timeout_seconds
    names = iter(spool.segments(State.SEALING))  # shared by the threads, each of which drives a process
    outcomes: list[SealOutcome] = []
    stop = threading.Event()

    def work() -> None:
        with SealerProcess(spool) as sealer:
            while not stop.is_set() and (name := next(names, None)) is not None:
                outcomes.append(sealer.seal(name, max(0.0, deadline - time.monotonic())))

    with ThreadPoolExecutor(processes) as threads:
        try:
            for future in [threads.submit(work) for _ in range(processes)]:
                future.result()
        finally:
            stop.set()  # after a failure, or when this task is told to stop, no further segment is begun
    return SealReport(rotated, sorted(outcomes, key=lambda outcome: outcome.name))


def _outcome(spool: Spool, report: SealReport) -> dict[str, Any]:
    manifests = [outcome.manifest for outcome in report.of(SealKind.SEALED) if outcome.manifest]
    drift: Counter[str] = Counter()
    for manifest in manifests:
        for entry in manifest.drift:
            drift[entry.kind] += entry.count
    return {
        "segments": len(manifests),
        "records": sum(manifest.records for manifest in manifests),
        "bytes": sum(manifest.bytes for manifest in manifests),
        "torn_tails": sum(manifest.torn_bytes > 0 for manifest in manifests),
        "drift": dict(sorted(drift.items())),
        "busy": [outcome.name.file_name for outcome in report.of(SealKind.BUSY)],
        "quarantined_in_total": spool.usage()[State.QUARANTINED].segments,
    }
