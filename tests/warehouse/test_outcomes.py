"""Every answer of BigQuery has its outcome: through a proxy that gives it, in front of the real local warehouse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from google.api_core import exceptions

from include.config import WarehouseConfig
from include.spool import Spool, State
from include.warehouse import loader, uploads
from include.warehouse.batch_reader import BatchReader
from include.warehouse.batches import Batch, BatchSegment
from include.warehouse.loader import (
    LoadFailed,
    LoadNotStarted,
    LoadOptions,
    LoadRefused,
    LoadResult,
    LoadUnfinished,
    adopt,
    load,
)
from include.warehouse.outcomes import OF_JOB, OPEN_ERRORS, Reaction, UploadLost, of_job, of_request
from include.warehouse.warehouse import Warehouse
from tests.warehouse.bigquery_proxy import BigQueryProxy
from tests.warehouse.local_warehouse import local_warehouse
from tests.warehouse.spools import matches, new_spool, sealed_segment

INITIATE = {"method": "POST", "path": "uploadType=resumable"}
CHUNK = {"method": "PUT", "path": "upload_id="}
GET_JOB = {"method": "GET", "path": "/jobs/pulse_load_"}
RECORDS = 7
OPTIONS = LoadOptions(request_seconds=20, start_seconds=20, job_seconds=20)


@pytest.fixture
def proxy() -> Iterator[BigQueryProxy]:
    """Quiet, until a fault is set."""
    proxy = BigQueryProxy(local_warehouse().url)
    yield proxy
    proxy.close()


@pytest.fixture
def proxied(warehouse: Warehouse, proxy: BigQueryProxy) -> Warehouse:
    """The warehouse as it is seen through the proxy."""
    config: WarehouseConfig = msgspec.structs.replace(warehouse.config, warehouse_url=proxy.url)
    return Warehouse.connect(config)


@pytest.fixture
def batch(warehouse: Warehouse, tmp_path: Path) -> tuple[Batch, list[Path]]:
    """A batch of one real segment."""
    spool: Spool = new_spool(tmp_path)
    name = sealed_segment(spool, matches(RECORDS))
    segment = BatchSegment.of(spool.manifest(name, State.SEALED))
    made = Batch(source="simulated", table_id=warehouse.messages_id, segments=(segment,))
    return made, [spool.path(name, State.SEALED)]


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number of tries, sooner one after another."""
    monkeypatch.setattr(loader, "SUBMIT_AGAIN_SECONDS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(uploads, "RESUME_SECONDS", (0.01, 0.01, 0.01, 0.01))


type Prepared = tuple[Batch, list[Path]]

HEALED = (
    [
        pytest.param([INITIATE | {"kind": kind, **more}], id=f"start of upload: {name}")
        for name, kind, more in [
            ("503", "error", {"status": 503, "reason": "backendError"}),
            ("500", "error", {"status": 500, "reason": "internalError"}),
            ("429", "error", {"status": 429, "reason": "rateLimitExceeded"}),
            ("403 rate limit", "error", {"status": 403, "reason": "rateLimitExceeded"}),
            ("403 job rate limit", "error", {"status": 403, "reason": "jobRateLimitExceeded"}),
            ("connection reset", "drop_request", {}),
            ("reply lost", "drop_reply", {}),
        ]
    ]
    + [
        pytest.param([CHUNK | {"kind": kind, **more}], id=f"data: {name}")
        for name, kind, more in [
            ("503", "error", {"status": 503, "reason": "backendError"}),
            ("429", "error", {"status": 429, "reason": "rateLimitExceeded"}),
            ("connection reset", "drop_request", {}),
            ("reply lost", "drop_reply", {}),
            ("503 although the job runs", "error_after", {"status": 503, "reason": "backendError"}),
            ("reply is garbage", "garbage", {}),
            ("upload forgotten", "error", {"status": 404, "reason": "notFound"}),
        ]
    ]
    + [
        pytest.param([CHUNK | {"kind": "job", "state": "PENDING"}], id="wait: pending first"),
        pytest.param([CHUNK | {"kind": "job", "state": "RUNNING"}], id="wait: running first"),
        pytest.param(
            [CHUNK | {"kind": "job", "state": "RUNNING"}, GET_JOB | {"kind": "error", "times": 2}], id="wait: 503 twice"
        ),
        pytest.param(
            [CHUNK | {"kind": "job", "state": "RUNNING"}, GET_JOB | {"kind": "drop_reply"}], id="wait: reply lost"
        ),
    ]
)


@pytest.mark.parametrize("faults", HEALED)
def test_what_passes_is_healed_under_the_same_id(
    proxied: Warehouse, proxy: BigQueryProxy, batch: Prepared, faults: list[dict[str, Any]]
) -> None:
    """One call, one job, each row once, whether the request arrived or not."""
    for fault in faults:
        proxy.add(**fault)

    result = _load(proxied, batch)

    assert (result.job_id, result.output_rows) == (batch[0].job_id(1), RECORDS)
    assert _rows(proxied, batch[0]) == RECORDS
    assert all(fault.hits == (fault.times or 0) for fault in proxy.faults())


@pytest.mark.parametrize("lost_twice", [1, 2, 3])
def test_chunks_whose_replies_are_lost_are_not_sent_again(
    proxied: Warehouse, proxy: BigQueryProxy, batch: Prepared, monkeypatch: pytest.MonkeyPatch, lost_twice: int
) -> None:
    """The server is asked what it has: a chunk sent twice would be rows loaded twice."""
    monkeypatch.setattr(uploads, "CHUNK_BYTES", 500)
    proxy.add(**CHUNK, kind="drop_reply", skip=1, times=lost_twice)

    assert _load(proxied, batch).output_rows == RECORDS
    assert sum(method == "PUT" for method, _, _ in proxy.log) > RECORDS // 2
    assert sum(method == "POST" and "upload" in path for method, path, _ in proxy.log) == 1, "one upload did it"


def test_a_request_that_hangs_is_given_up_and_repeated(
    proxied: Warehouse, proxy: BigQueryProxy, batch: Prepared
) -> None:
    """PULSE_LOAD_REQUEST_TIMEOUT_SECONDS bounds each request."""
    proxy.add(**INITIATE, kind="hang", seconds=60)

    assert _load(proxied, batch, request_seconds=2).output_rows == RECORDS


def test_a_job_that_exists_already_is_adopted(proxied: Warehouse, proxy: BigQueryProxy, batch: Prepared) -> None:
    """409: the rows of the first submission are the rows."""
    first = _load(proxied, batch)

    assert _load(proxied, batch) == first
    assert 409 in {status for _, _, status in proxy.log}
    assert _rows(proxied, batch[0]) == RECORDS


def test_a_conflict_about_a_job_that_is_not_to_be_seen_yet_is_asked_again(
    proxied: Warehouse, proxy: BigQueryProxy, batch: Prepared
) -> None:
    """BigQuery may answer 409 and then, for a moment, 404 for the same job."""
    first = _load(proxied, batch)
    proxy.add(**GET_JOB, kind="error", status=404, reason="notFound", times=2)

    assert _load(proxied, batch) == first


@pytest.mark.parametrize(
    ("status", "reason", "reaction"),
    [
        (400, "invalid", Reaction.PAGE),
        (400, "invalidQuery", Reaction.PAGE),
        (403, "accessDenied", Reaction.PAGE),
        (403, "quotaExceeded", Reaction.WAIT),
        (404, "notFound", Reaction.PAGE),
        (418, "unheardOf", Reaction.PAGE),
    ],
)
def test_a_refused_request_stops_at_once_and_concludes_nothing(
    proxied: Warehouse, proxy: BigQueryProxy, batch: Prepared, status: int, reason: str, reaction: Reaction
) -> None:
    """Asking again would be refused again; the id stays free, and the next run loads under it."""
    proxy.add(**INITIATE, kind="error", status=status, reason=reason)

    with pytest.raises(LoadRefused, match=reason) as caught:
        _load(proxied, batch)

    assert caught.value.reaction is reaction
    assert caught.value.reaction.is_final
    assert len(proxy.log) == 1
    assert _load(proxied, batch).job_id == batch[0].job_id(1)


def test_a_refused_question_about_a_job_is_not_a_failed_job(
    proxied: Warehouse, proxy: BigQueryProxy, batch: Prepared
) -> None:
    """A right that is missing says nothing about the rows, so it must not lead to another attempt."""
    _load(proxied, batch)
    proxy.add(**GET_JOB, kind="error", status=403, reason="accessDenied")

    with pytest.raises(LoadRefused, match="accessDenied"):
        adopt(proxied.client, batch[0], 1, RECORDS, options=OPTIONS)


@pytest.mark.parametrize("reason", [*OF_JOB, "unheardOf"])
def test_a_failed_job_speaks_for_itself(proxied: Warehouse, proxy: BigQueryProxy, batch: Prepared, reason: str) -> None:
    """Every reason BigQuery gives for a job's end has its reaction; an unknown one is an operator's case."""
    proxy.add(**CHUNK, kind="job", reason=reason, message=f"because of {reason}")

    with pytest.raises(LoadFailed, match=f"because of {reason}") as caught:
        _load(proxied, batch)

    assert caught.value.reaction is OF_JOB.get(reason, Reaction.PAGE)


def test_an_outage_leaves_the_outcome_open(proxied: Warehouse, proxy: BigQueryProxy, batch: Prepared) -> None:
    """Nothing is concluded: the error goes up, and the next try finds the job that did arrive."""
    proxy.add(**CHUNK, kind="drop_reply", times=None)
    proxy.add(**GET_JOB, kind="drop_request", times=None)

    with pytest.raises((*OPEN_ERRORS, exceptions.RetryError)) as caught:
        _load(proxied, batch, request_seconds=1)
    assert of_request(caught.value) is Reaction.SAME_ID

    proxy.replace([])
    found = adopt(proxied.client, batch[0], 1, RECORDS, options=OPTIONS)
    assert found is not None
    assert found.output_rows == _rows(proxied, batch[0]) == RECORDS


@pytest.mark.parametrize(
    ("state", "error", "limits"),
    [
        ("PENDING", LoadNotStarted, {"start_seconds": 0.2}),
        ("RUNNING", LoadUnfinished, {"job_seconds": 0.2}),
    ],
)
def test_a_job_that_takes_too_long_is_left_to_the_next_try(
    proxied: Warehouse,
    proxy: BigQueryProxy,
    batch: Prepared,
    state: str,
    error: type[Exception],
    limits: dict[str, float],
) -> None:
    """Nothing is concluded from waiting long; the next try adopts the job."""
    proxy.add(**CHUNK, kind="job", state=state)
    proxy.add(**GET_JOB, kind="job", state=state, times=None)

    with pytest.raises(error, match=batch[0].job_id(1)):
        _load(proxied, batch, **limits)

    proxy.replace([])
    assert adopt(proxied.client, batch[0], 1, RECORDS, options=OPTIONS) is not None


def test_every_reason_leads_somewhere() -> None:
    """The table is total, and each of its reactions is used."""
    assert {of_job({"reason": reason}) for reason in OF_JOB} == {
        Reaction.BAD_LINES,
        Reaction.NEXT_ATTEMPT,
        Reaction.PAGE,
        Reaction.WAIT,
    }
    assert of_job({}) is Reaction.PAGE
    assert of_request(UploadLost()) is Reaction.SAME_ID
    assert of_request(requests.ConnectionError()) is Reaction.SAME_ID


def _load(warehouse: Warehouse, batch: Prepared, **limits: float) -> LoadResult:
    made, paths = batch
    options = msgspec.structs.replace(OPTIONS, **limits)
    return load(warehouse.client, made, 1, BatchReader(made, paths), labels={}, options=options)


def _rows(warehouse: Warehouse, batch: Batch) -> int:
    (row,) = warehouse.client.query_and_wait(
        f"select count(*) as n from `{batch.table_id}` where batch_id = '{batch.batch_id}' "
        "and received_at > '2020-01-01'"
    )
    return int(row["n"])
