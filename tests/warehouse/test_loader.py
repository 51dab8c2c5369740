"""One batch, one load job: adopted, failed, incomplete or done, by the warehouse's answer only."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.cloud import bigquery

from include.config import Compression
from include.spool import SegmentName, Spool, State
from include.warehouse import uploads
from include.warehouse.batch_reader import EXTRA, BatchReader, SegmentChanged
from include.warehouse.batches import Batch, BatchSegment
from include.warehouse.loader import (
    BatchIncomplete,
    LoadError,
    LoadFailed,
    LoadOptions,
    LoadResult,
    adopt,
    label_text,
    load,
)
from include.warehouse.table_specs import load_spec
from include.warehouse.warehouse import Warehouse
from tests.warehouse.spools import match, matches, new_spool, sealed_segment

OPTIONS = LoadOptions(request_seconds=30, start_seconds=30, job_seconds=30)

type Prepared = tuple[Batch, list[Path]]
type Prepare = Callable[..., Prepared]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    return new_spool(tmp_path)


@pytest.fixture
def prepare(spool: Spool, warehouse: Warehouse) -> Prepare:
    """A batch of real sealed segments, one per list of frames, and their files."""

    def make(*segments: list[bytes]) -> Prepared:
        names = [sealed_segment(spool, frames) for frames in segments]
        return _batch(spool, warehouse, names), [spool.path(name, State.SEALED) for name in names]

    return make


def test_every_record_is_loaded_with_its_batch_id_and_its_text_as_sent(warehouse: Warehouse, prepare: Prepare) -> None:
    """Decimals keep their zeros, ids are integers, what the schema does not know stops nothing."""
    odd = b'{"type":"match","trade_id":9007199254740993,"price":"0.100","unknown":{"a":1},"product_id":"SKL-GBP"}'
    batch, paths = prepare([match(1, price="63512.180"), odd], [b"not json", b'{"type":"subscriptions","channels":[]}'])

    result = _load(warehouse, batch, paths)

    rows = _rows(warehouse, batch)
    assert result.output_rows == len(rows) == 4
    assert result.job_id == batch.job_id(1)
    assert [(row["type"], row["record_no"]) for row in rows] == [
        ("match", 1),
        ("match", 2),
        ("malformed", 1),
        ("subscriptions", 2),
    ]
    assert (rows[0]["price"], rows[0]["size"], rows[0]["time"]) == (
        "63512.180",
        "0.00012000",
        "2026-07-07T22:58:16.000001Z",
    )
    assert (rows[1]["price"], rows[1]["trade_id"], rows[1]["side"]) == ("0.100", 9007199254740993, None)
    assert (rows[2]["undecodable"], rows[3]["channels"]) == ("not json", [])


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("chunk_bytes", [100, 4096, uploads.CHUNK_BYTES])
def test_a_batch_goes_in_chunks_plain_or_compressed(
    warehouse: Warehouse,
    prepare: Prepare,
    monkeypatch: pytest.MonkeyPatch,
    compression: Compression,
    chunk_bytes: int,
) -> None:
    """Whatever the size of a chunk, the server gets every byte once."""
    monkeypatch.setattr(uploads, "CHUNK_BYTES", chunk_bytes)
    batch, paths = prepare(matches(40), matches(3))

    assert _load(warehouse, batch, paths, compression=compression).output_rows == 43
    assert len(_rows(warehouse, batch)) == 43


def test_lines_left_out_are_not_missed(warehouse: Warehouse, prepare: Prepare) -> None:
    """What is written down as refused is no part of the job, down to a job without a line."""
    batch, paths = prepare(matches(5))
    (segment,) = batch.segments
    all_but_one = BatchReader(batch, paths, excluded={segment.segment: {1, 2, 4, 5}})
    none = BatchReader(batch, paths, excluded={segment.segment: {1, 2, 3, 4, 5}})

    assert _load_reader(warehouse, batch, all_but_one).output_rows == 1
    assert [row["record_no"] for row in _rows(warehouse, batch)] == [3]
    assert _load_reader(warehouse, batch, none, attempt=2).output_rows == 0


def test_members_without_a_column_are_kept_in_extra(warehouse: Warehouse, prepare: Prepare) -> None:
    """They can be queried, as sent."""
    batch, paths = prepare([b'{"type":"match","fee":{"rate":"0.10"},"price":"1.10"}', *matches(1)])
    columns = {field.name for field in load_spec("messages").schema} - {EXTRA}
    reader = BatchReader(batch, paths, drifting={batch.segments[0].segment}, columns=columns)

    _load_reader(warehouse, batch, reader)

    first, second = _rows(warehouse, batch)
    assert (first["extra"], first["price"], second["extra"]) == ({"fee": {"rate": "0.10"}}, "1.10", None)


def test_a_job_is_adopted_without_an_upload(warehouse: Warehouse, prepare: Prepare) -> None:
    """Recovery asks for the job first; one that never arrived is unknown."""
    batch, paths = prepare(matches(5))
    assert adopt(warehouse.client, batch, 1, batch.records, options=OPTIONS) is None

    loaded = _load(warehouse, batch, paths)

    assert adopt(warehouse.client, batch, 1, batch.records, options=OPTIONS) == loaded


def test_a_failed_job_brings_nothing_and_the_next_attempt_is_free(
    warehouse: Warehouse, spool: Spool, prepare: Prepare
) -> None:
    """The failed id stays failed however often it is submitted; the next one loads."""
    batch, paths = prepare(matches(5))
    _submit_other_rows(warehouse, batch, b'{"no_column_of_ours": 1}\n')

    for _ in range(2):
        with pytest.raises(LoadFailed, match=batch.job_id(1)):
            _load(warehouse, batch, paths)
    assert _rows(warehouse, batch) == []

    assert _load(warehouse, batch, paths, attempt=2).job_id == batch.job_id(2)
    assert len(_rows(warehouse, batch)) == 5


def test_a_job_with_another_number_of_rows_does_not_count_as_loaded(warehouse: Warehouse, prepare: Prepare) -> None:
    """Ended well is not enough: rows must equal records."""
    batch, paths = prepare(matches(5))
    _submit_other_rows(warehouse, batch, _line(batch, 1) + _line(batch, 2))

    with pytest.raises(BatchIncomplete, match=r"2 rows.*5 records"):
        _load(warehouse, batch, paths)


def test_an_id_taken_by_another_kind_of_job_is_refused(warehouse: Warehouse, prepare: Prepare) -> None:
    """Nothing is concluded from a job that is not ours."""
    batch, paths = prepare(matches(5))
    warehouse.client.query("select 1", job_id=batch.job_id(1), job_retry=None).result()

    with pytest.raises(LoadError, match="query"):
        _load(warehouse, batch, paths)


def test_changed_bytes_never_become_a_job(warehouse: Warehouse, prepare: Prepare) -> None:
    """The upload breaks off, and the id stays free for the right bytes."""
    batch, paths = prepare(matches(5))
    paths[0].chmod(0o644)
    content = paths[0].read_bytes()
    paths[0].write_bytes(content.replace(b"63512.180", b"63512.181"))

    with pytest.raises(SegmentChanged):
        _load(warehouse, batch, paths)
    assert adopt(warehouse.client, batch, 1, batch.records, options=OPTIONS) is None

    paths[0].write_bytes(content)
    assert _load(warehouse, batch, paths).output_rows == 5


def test_the_job_tells_who_asked_for_it(warehouse: Warehouse, prepare: Prepare) -> None:
    """Labels are made to fit BigQuery's rules."""
    batch, paths = prepare(matches(1))
    _load(warehouse, batch, paths, labels={"dag": "market_pulse", "run": "scheduled__2026-07-07T22:58:00+00:00"})

    job = warehouse.client.get_job(batch.job_id(1))
    assert job.labels == {
        "dag": "market_pulse",
        "run": "scheduled__2026-07-07t22_58_00_00_00",
        "batch": batch.batch_id,
    }
    assert label_text("Ünï " + "x" * 100) == "_n__" + "x" * 59


def _load(
    warehouse: Warehouse,
    batch: Batch,
    paths: list[Path],
    *,
    compression: Compression = Compression.NONE,
    **options: Any,
) -> LoadResult:
    return _load_reader(warehouse, batch, BatchReader(batch, paths), compression=compression, **options)


def _load_reader(
    warehouse: Warehouse,
    batch: Batch,
    reader: BatchReader,
    *,
    attempt: int = 1,
    labels: Mapping[str, str] | None = None,
    compression: Compression = Compression.NONE,
) -> LoadResult:
    options = msgspec.structs.replace(OPTIONS, compression=compression)
    return load(warehouse.client, batch, attempt, reader, labels=labels or {}, options=options)


def _batch(spool: Spool, warehouse: Warehouse, names: list[SegmentName]) -> Batch:
    segments = tuple(BatchSegment.of(spool.manifest(name, State.SEALED)) for name in names)
    return Batch(source="simulated", table_id=warehouse.messages_id, segments=segments)


def _rows(warehouse: Warehouse, batch: Batch) -> list[dict[str, Any]]:
    rows = warehouse.client.query_and_wait(
        f"select * from `{batch.table_id}` where batch_id = '{batch.batch_id}' and received_at > '2020-01-01' "
        "order by session_id, record_no"
    )
    return [dict(row) for row in rows]


def _line(batch: Batch, record_no: int) -> bytes:
    return (
        b'{"batch_id":"%b","received_at":"2026-07-07T22:58:16Z","streamer_id":"s","session_id":"s","record_no":%d,'
        b'"connection_no":1,"type":"match"}\n'
    ) % (batch.batch_id.encode(), record_no)


def _submit_other_rows(warehouse: Warehouse, batch: Batch, lines: bytes) -> None:
    """Take the batch's first job id for another content, and wait until that job has ended, well or not."""
    config = bigquery.LoadJobConfig(
        source_format="NEWLINE_DELIMITED_JSON",
        schema=warehouse.client.get_table(batch.table_id).schema,
        write_disposition="WRITE_APPEND",
        ignore_unknown_values=True,
    )
    job = warehouse.client.load_table_from_file(
        io.BytesIO(lines), batch.table_id, job_id=batch.job_id(1), job_config=config, size=len(lines)
    )
    job.exception()  # type: ignore[no-untyped-call]
