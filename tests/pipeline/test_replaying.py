"""Hours of the archive in other datasets: the same records, once, whatever interrupts it."""

import itertools
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.cloud import bigquery

from include.pipeline import archive_segments, close_window, open_window
from include.pipeline.replaying import ReplayError, replay
from include.spool import ArchiveDamaged, Manifest, SegmentName, State
from include.warehouse import Warehouse
from tests.pipeline.conftest import Run
from tests.warehouse.spools import matches, sealed_segment

FRAMES = [
    *matches(5),
    b'{"type":"l2update","product_id":"BTC-USD","changes":[["buy","1.10","0.0"]],"strange":{"a":[1.50]}}',
    '{"type":"error","message":"caf\u00e9 \\u20ac"}'.encode(),
    b"no json \xff",
]
_targets = itertools.count(1)


@pytest.fixture
def target(run: Run) -> Iterator[Warehouse]:
    """Datasets of another prefix, which do not exist yet."""
    config = msgspec.structs.replace(run.warehouse.config, dataset_prefix=f"again{next(_targets)}")
    warehouse = Warehouse.connect(config)
    yield warehouse
    for dataset in config.datasets():
        warehouse.client.delete_dataset(dataset, delete_contents=True, not_found_ok=True)


@pytest.fixture(autouse=True)
def home(run: Run, tmp_path: Path) -> None:
    """The replay's own spool lies below the home."""
    run.config = msgspec.structs.replace(run.config, home=tmp_path / "home")


def transform(run: Run) -> None:
    """As far as the ledger is concerned; then archive."""
    window = open_window(run.warehouse)
    assert window is not None
    close_window(run.warehouse, window, run_id="run")
    archive_segments(run.spool, run.warehouse, run.config)


def captured(run: Run) -> list[Manifest]:
    """Two archived segments and one in loaded/."""
    names = [sealed_segment(run.spool, FRAMES) for _ in range(2)]
    run.load()
    transform(run)
    names.append(sealed_segment(run.spool, matches(3, first=900)))
    run.load()
    states = (State.ARCHIVED, State.ARCHIVED, State.LOADED)
    return [run.spool.manifest(name, state) for name, state in zip(names, states, strict=True)]


def replay_all(run: Run, target: Warehouse, **options: Any) -> dict[str, Any]:
    """Everything that is there, unless the options say otherwise."""
    bounds = {
        "received_from": datetime.fromisoformat("2000-01-01T00Z"),
        "received_to": datetime.fromisoformat("2100-01-01T00Z"),
    }
    return replay(run.spool, run.warehouse, target, run.config, run_id="replay", **(bounds | options))


def rows(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """Every row of raw.messages but its batch id, in order."""
    sql = (
        f"select * except (batch_id) from `{warehouse.messages_id}` where received_at > '2000-01-01' "
        "order by session_id, record_no"
    )
    return [tuple(row.values()) for row in warehouse.client.query_and_wait(sql)]


def test_a_replay_gives_the_same_records(run: Run, target: Warehouse) -> None:
    """From the archive and from loaded/: every column of every record, under batches of its own."""
    manifests = captured(run)
    before = run.states()

    outcome = replay_all(run, target)

    assert outcome["segments"] == 3
    assert outcome["loaded_records"] == outcome["identical"] == sum(manifest.records for manifest in manifests) == 19
    assert outcome["different"] == outcome["only_here"] == outcome["only_there"] == 0
    assert rows(target) == rows(run.warehouse)
    assert len(rows(target)) == 19
    assert run.states() == before
    assert list((run.config.home / "replay").iterdir()) == []


def test_a_table_that_has_grown_since_counts_as_the_same(run: Run, target: Warehouse) -> None:
    """An operator's own column in the middle of the live table: what the exchange sent is what is compared."""
    live = msgspec.structs.replace(run.warehouse.config, dataset_prefix=f"grown{next(_targets)}")
    run.warehouse = Warehouse.connect(live)
    run.warehouse.prepare()
    client, table_id = run.warehouse.client, run.warehouse.messages_id
    template = client.get_table(table_id)
    fields = [*template.schema[:7], bigquery.SchemaField("note", "STRING"), *reversed(template.schema[7:])]
    client.delete_table(table_id)
    grown = bigquery.Table(table_id, schema=fields)
    grown.labels, grown.time_partitioning = template.labels, template.time_partitioning
    client.create_table(grown)
    captured(run)

    assert replay_all(run, target)["identical"] == 19

    for dataset in live.datasets():
        client.delete_dataset(dataset, delete_contents=True)


def test_only_segments_of_the_hours_are_replayed(run: Run, target: Warehouse) -> None:
    """The beginning is part of it, the end is not."""
    first, second, third = captured(run)
    begin, end = (datetime.fromisoformat(manifest.received_at_min) for manifest in (second, third))

    outcome = replay_all(run, target, received_from=begin, received_to=end)

    assert {row[2] for row in rows(target)} == {second.session_id}
    assert (outcome["segments"], outcome["received_at_min"]) == (1, second.received_at_min)
    with pytest.raises(ReplayError, match="no segment"):
        replay_all(run, target, received_to=datetime.fromisoformat(first.received_at_min) - timedelta(seconds=1))


def test_a_dry_run_makes_nothing(run: Run, target: Warehouse) -> None:
    """It says how much it would load, and where to."""
    captured(run)

    assert replay_all(run, target, dry_run=True)["records"] == 19

    assert target.config.datasets().raw not in {item.dataset_id for item in target.client.list_datasets()}
    assert not (run.config.home / "replay").exists()


def test_the_original_datasets_are_refused(run: Run) -> None:
    """Every record would be there twice; and of a batch composed again the old job would be adopted, without a row."""
    captured(run)
    before = rows(run.warehouse)
    with pytest.raises(ReplayError, match="twice"):
        replay_all(run, run.warehouse)
    assert rows(run.warehouse) == before

    for table in (run.warehouse.messages_id, re.sub("_raw.messages$", "_ops.batches", run.warehouse.messages_id)):
        run.warehouse.client.query_and_wait(f"truncate table `{table}`")
    with pytest.raises(ReplayError, match="MODE=replay"):
        replay_all(run, run.warehouse)


def test_a_repeated_replay_loads_nothing_twice(run: Run, target: Warehouse) -> None:
    """The ledger of the target knows what is there."""
    captured(run)
    replay_all(run, target)
    before = rows(target)

    outcome = replay_all(run, target)

    assert (outcome["loaded_records"], outcome["identical"]) == (0, 19)
    assert rows(target) == before


def test_an_interrupted_replay_goes_on(run: Run, target: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch was written down and not loaded: the same hours finish it, other hours are refused."""
    first, *_ = captured(run)
    with monkeypatch.context() as patch:
        patch.setattr("include.pipeline.batch_loading.load", _broken)
        with pytest.raises(OSError, match="cable"):
            replay_all(run, target)
    end = datetime.fromisoformat(first.received_at_max) + timedelta(microseconds=1)
    with pytest.raises(ReplayError, match="unfinished"):
        replay_all(run, target, received_to=end)

    assert replay_all(run, target)["identical"] == 19


def test_a_record_that_differs_or_is_missing_fails_the_replay(run: Run, target: Warehouse) -> None:
    """What raw has and the replay did not bring is an error; what raw has no more is counted."""
    captured(run)
    replay_all(run, target)
    table, condition = run.warehouse.messages_id, "received_at > '2000-01-01' and record_no ="
    run.warehouse.client.query_and_wait(f"delete from `{table}` where {condition} 2")
    outcome = replay_all(run, target)
    assert (outcome["identical"], outcome["only_there"]) == (16, 3)

    run.warehouse.client.query_and_wait(f"update `{table}` set price = '1' where {condition} 3")
    with pytest.raises(ReplayError, match="3 records differ"):
        replay_all(run, target)
    target.client.query_and_wait(f"delete from `{target.messages_id}` where {condition} 1")
    with pytest.raises(ReplayError, match="3 are missing"):
        replay_all(run, target)


def test_a_damaged_segment_is_not_replayed(run: Run, target: Warehouse) -> None:
    """The error names it; once it is sound again the same replay goes on."""
    first, *_ = captured(run)
    path = run.spool.path(SegmentName.parse(first.segment), State.ARCHIVED)
    content = path.read_bytes()
    path.write_bytes(content[:-60])
    with pytest.raises(ArchiveDamaged, match=re.escape(first.segment)):
        replay_all(run, target)
    assert rows(target) == []
    path.write_bytes(content)

    assert replay_all(run, target)["identical"] == 19


def _broken(*args: object, **kwargs: object) -> None:
    raise OSError("somebody fell over the cable")
