"""The statements before Google's own code, and its figures beside those of the local warehouse and of the oracle."""

import datetime as dt
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from include.warehouse.table_specs import Field, load_spec
from tests.dbt import feed, oracle, pruning
from tests.dbt.conftest import INCREMENT, Dbt, Market
from tests.dbt.googlesql import GoogleSql

type Row = dict[str, Any]

pytestmark = pytest.mark.timeout(900)

#: Days beyond the window's that a model may read and write: its neighbours.
READS_BEYOND = {"fct_candles_1m": 2, "fct_trades_daily": 1}
WRITES_BEYOND = {"fct_candles_1m": 1, "fct_trades_daily": 1}

#: Read whole: a row a batch, a product, or a side.
SMALL = {"stg_ops__batches", "dim_products", "int_product_records"}


class Project(NamedTuple):
    """What dbt made of the project: by model, in the order of their references."""

    queries: dict[str, str]
    built: dict[str, str]
    merged: dict[str, str]
    sources: dict[str, str]
    """The queries of the MERGEs."""
    tested: dict[str, str]
    window: dict[str, dt.datetime]


@pytest.fixture(scope="module")
def project(dbt: Dbt) -> Project:
    """A whole build over a day, and an increment over a window of two trades on two days, ten days later."""
    market = Market(dbt)
    market.clear()
    now = dt.datetime(2026, 7, 7, 12, tzinfo=dt.UTC)
    before, batch = (_batch(name, at) for name, at in (("a1", now - dt.timedelta(days=10)), ("a2", now)))
    market.load_raw([before])
    market.load_ledger([before])
    window = feed.window([batch])
    compiled = dbt.run("compile")
    assert compiled.succeeded, compiled.error
    queries = _statements(dbt.target / "compiled")
    build = dbt.run(*INCREMENT)
    assert build.succeeded, build.of_status("error")
    built = {name: sql for name, sql in _statements(dbt.target / "run").items() if name in build.statuses}
    market.load_raw([batch])
    market.load_ledger([batch])
    increment = dbt.run(*INCREMENT, window=window)
    assert increment.succeeded, increment.of_status("error")
    merged = {name: sql for name, sql in _statements(dbt.target / "run").items() if "merge into" in sql}
    sources = {name: sql for name, sql in _statements(dbt.target / "compiled").items() if name in merged}
    tests = dbt.run("compile", "--select", "tag:every_run", window=window)
    assert tests.succeeded, tests.error
    return Project(
        {name: queries[name] for name in compiled.statuses if name in queries},
        built,
        merged,
        sources,
        dict(zip(tests.statuses, tests.compiled, strict=True)),
        {name: dt.datetime.fromisoformat(bound) for name, bound in window.items() if bound},
    )


def _batch(batch_id: str, now: dt.datetime) -> feed.LoadedBatch:
    """One of each message, and a trade that lies a day ahead."""
    session = feed.Session(f"{now:%Y%m%dT%H%M%S}Z-0000000a")
    session.receive(now, feed.match("BTC-USD", 7, now))
    session.receive(now, feed.match("BTC-USD", 8, now + dt.timedelta(days=1)))
    session.receive(now, feed.heartbeat("BTC-USD", 8, now))
    session.receive(now, feed.match("BTC-USD", 7, now, type="ticker"))
    return feed.LoadedBatch(batch_id, now, session.records)


@pytest.fixture(scope="module")
def google(project: Project) -> GoogleSql:
    """Knows the raw and ops tables, and every model's columns as it finds them in its query."""
    google = GoogleSql()
    google.declare("messages", load_spec("messages").schema)
    batches = load_spec("batches").schema
    google.declare("batches", batches)
    (segments,) = (field for field in batches if field.name == "segments")
    own = [field for field in batches if field.name in ("batch_id", "composed_at", "loaded_at", "transformed_at")]
    google.declare("segments", [*segments.fields, *own])
    google.declare("dead_letters", load_spec("dead_letters").schema)
    # A view with min_by, which BigQuery has and this analyzer has not.
    drift = {"messages": "INTEGER", "segments": "INTEGER", "first_seen": "TIMESTAMP", "last_seen": "TIMESTAMP"}
    drift |= dict.fromkeys(("type", "field", "kind", "example"), "STRING")
    google.declare("schema_drift", [Field(name, kind, "") for name, kind in drift.items()])
    for name, query in project.queries.items():
        google.declare_result(name, query)
    return google


def _statements(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text("utf-8") for path in (folder / "market_pulse" / "models").rglob("*.sql")}


def test_every_statement_is_googlesql(google: GoogleSql, project: Project) -> None:
    """Google's analyzer finds every name and type in every query, every statement that builds and every MERGE."""
    for statements in (project.built, project.merged, project.tested):
        assert statements
        for statement in statements.values():
            google.check(statement)


def test_contracts_hold_by_googles_types(google: GoogleSql, dbt: Dbt) -> None:
    """Every column of every mart has the type of its contract, none is a FLOAT64 or BIGNUMERIC."""
    manifest = json.loads((dbt.target / "manifest.json").read_text("utf-8"))
    contracts = {
        node["name"]: {column: declared["data_type"] for column, declared in node["columns"].items()}
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["config"]["contract"]["enforced"]
    }
    assert contracts.keys() > {"fct_trades", "dim_products", "rpt_freshness"}
    assert {name: google.types(name) for name in contracts} == contracts


def test_no_statement_reads_past_its_window(google: GoogleSql, project: Project) -> None:
    """Every mention of a partitioned table is bounded by literals: the window, and the neighbours a model looks at."""
    first = project.window["DBT_WINDOW_RECEIVED_FROM"]
    last = project.window["DBT_WINDOW_TRADED_TO"]
    hour = {"minute": 0, "second": 0, "microsecond": 0}
    assert project.merged.keys() > {"fct_trades", "int_product_minutes", "fct_candles_1m", "fct_trades_daily"}
    assert project.tested
    for name, statement in (project.merged | project.tested).items():
        for read in pruning.reads(google.resolve(statement)):
            if read.table in SMALL:
                continue
            column = _partition_column(read.table)
            assert column in read.bounds, f"{name} reads all of {read.table}"
            low, high = read.bounds[column]
            if column == "received_at":
                assert first.replace(**hour) <= low <= high <= first.replace(**hour) + dt.timedelta(hours=1), name
            else:
                is_target = read.table == name
                days = (WRITES_BEYOND if is_target else READS_BEYOND).get(name, 1 if name in project.tested else 0)
                beyond = dt.timedelta(days=days)
                assert first.date() - beyond <= low <= high <= last.date() + beyond, f"{name} reads {read}"


def test_the_warehouse_opens_no_file_outside_the_window(dbt: Dbt, project: Project) -> None:
    """By its own plan: what lies in files of ten days before stays closed."""
    market = Market(dbt)
    scanned = set()
    for name, query in (project.sources | project.tested).items():
        for scan in market.scans(query):
            if scan["table"] not in SMALL | {"batches"}:
                scanned.add(scan["table"])
                assert scan["read"] < scan["files"], f"{name} opens all files of {scan['table']}"
    assert scanned >= {"messages", "fct_tickers", "fct_trades", "int_product_minutes", "fct_candles_1m"}


def _partition_column(table: str) -> str:
    if table.startswith("stg_coinbase__"):
        return "received_at"
    return "received_date" if table == "rpt_feed_health" else "traded_date"


def test_the_arithmetic_is_googles(google: GoogleSql, project: Project) -> None:
    """Minutes, candles and days that Google's evaluator makes of trades are the oracle's, which are the warehouse's."""
    batches = feed.busy_minutes(seed=3)[:2]
    expected = oracle.marts(batches)
    given: dict[str, list[Row]] = {
        "fct_trades": expected["fct_trades"],
        "stg_coinbase__heartbeats": [
            {**record, "batch_id": batch.batch_id, "beat_at": record["time"]}
            for batch in batches
            for record in batch.records
            if record["type"] == "heartbeat"
        ],
        "stg_ops__batches": [batch.ledger_row() for batch in batches],
    }
    for name in ("int_product_minutes", "fct_candles_1m", "fct_candles_5m", "fct_trades_daily", "fct_market_hourly"):
        given[name] = google.rows(project.queries[name], given)
        if name in expected:
            assert _comparable(google, name, given[name]) == _comparable(google, name, expected[name]), name


def _comparable(google: GoogleSql, name: str, rows: list[Row]) -> list[list[object]]:
    """Rows in one form and order, whether they come from JSON or from Python."""
    types = sorted(google.types(name).items())
    order = [column for column, _ in types].index
    instant = next(column for column in ("candle_at", "hour_at", "traded_date") if column in dict(types))
    comparable = [[_read(kind, row[column]) for column, kind in types] for row in rows]
    return sorted(comparable, key=lambda row: (str(row[order("product_id")]), str(row[order(instant)])))


def _read(kind: str, value: object) -> object:
    if value is None or kind in ("string", "bool"):
        return value
    if kind == "date":
        return dt.date.fromisoformat(str(value))
    if kind == "timestamp":
        return dt.datetime.fromisoformat(str(value))
    return Decimal(str(value))


def test_quotients_are_exact(google: GoogleSql, market: Market) -> None:
    """with_ratios rounds once, half away from zero: on the warehouse and by Google's evaluator, ties included."""
    terms = list(_terms(random.Random(0)))
    ratios = "{'quotient': ['dividend', 'divisor'], 'scaled': ['dividend', 'divisor', 8]}"
    compiled = market.dbt.run(
        "compile", "--inline", "with {{ with_ratios('terms', 'results', " + ratios + ") }} select * from results"
    )
    assert compiled.succeeded, compiled.error
    rows = " union all ".join(
        f"select {number} as position, numeric '{dividend}' as dividend, numeric '{divisor}' as divisor"
        for number, (dividend, divisor) in enumerate(terms)
    )
    sql = f"with terms as ({rows}) select position, quotient, scaled from ({compiled.compiled[0]}) order by position"
    expected = [
        (
            oracle.ratio(dividend, divisor),
            oracle.ratio(dividend.scaleb(-8), divisor),
        )
        for dividend, divisor in terms
    ]
    assert [(row["quotient"], row["scaled"]) for row in market.rows(sql)] == expected
    by_google = [
        tuple(None if row[column] is None else Decimal(str(row[column])) for column in ("quotient", "scaled"))
        for row in google.rows(sql, {})
    ]
    assert by_google == expected


def _terms(choice: random.Random) -> Iterator[tuple[Decimal, Decimal]]:
    """Dividends and divisors of every size, exact ties, negative ones, zero."""
    for _ in range(100):
        dividend = Decimal(choice.randrange(-(10**14), 10**14)).scaleb(-choice.randrange(10))
        yield dividend, Decimal(choice.randrange(1, 10**14)).scaleb(-choice.randrange(9))
    for _ in range(50):
        divisor = Decimal(2 * choice.randrange(1, 10**4))
        odd = Decimal(2 * choice.randrange(10**12) + 1) / 2
        yield choice.choice((1, -1)) * odd * Decimal("0.000000001") * divisor, divisor
    yield Decimal(1), Decimal(0)
    yield Decimal(0), Decimal(7)
