"""What is there in the end, gathered without the product's code: files of the spool, journals and truth of the
exchange, rows of the warehouse."""

import io
import json
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import requests
import zstandard
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from include.config import WarehouseConfig

#: (session_id, record_no)
type Key = tuple[str, int]
#: (product_id, trade_id)
type Trade = tuple[str, int]
#: (price, size, maker's side), decimals as short as they can be
type Terms = tuple[str, str, str]

_ENVELOPE = re.compile(
    rb'\{"received_at":"([^"]{27})","streamer_id":"[^"]+","session_id":"([^"]+)","record_no":(\d+),"connection_no":(\d+),'
)
_FOLDERS = ("active", "sealing", "sealed", "loaded", "archived")
_FIELDS = ("type", "product_id", "trade_id", "price", "size", "time", "side", "undecodable")
_TRUTH_SECONDS = 300


class Record(NamedTuple):
    """A line of the spool. `content` is a hash of what raw has to have, `frame` of the frame, None for our own."""

    connection_no: int
    content: int
    frame: int | None


class Gap(NamedTuple):
    """Trades on record as missing, or as having come after all."""

    product_id: str
    first: int
    last: int
    is_closed: bool


class Evidence(NamedTuple):
    """All of it."""

    records: Mapping[Key, Record]
    """What the spool holds in good segments."""
    started: Mapping[str, str]
    """When each session wrote its first record."""
    repeated: list[Key]
    """Records that the spool holds more than once."""
    quarantined: Mapping[Key, Record]
    """What lies in segments that were set aside, or where a hole is in one."""
    quarantined_trades: frozenset[Trade]
    """Trades between the first and the last of each such segment."""
    unreadable: list[str]
    """Lines of good segments that are none."""
    unfinished: list[str]
    """Segments that are not archived."""
    torn: int
    """Torn tails that were kept."""
    trades: Mapping[Trade, Terms]
    """Delivered ones, by the good segments."""
    gaps: list[Gap]
    durable: Mapping[str, int]
    sent: list[list[int]]
    """Hashes of the frames that each connection was sent, in the order of the connections."""
    raw: Mapping[Key, int]
    raw_repeated: list[Key]
    letters: Mapping[Key, bool]
    """Dead letters by key of their record; whether they are in raw as well."""
    letters_repeated: list[Key]
    batches: list[dict[str, Any]]
    rows_by_batch: Mapping[str, int]
    facts: Mapping[Trade, Terms]
    facts_repeated: list[Trade]
    truth: Mapping[Trade, Terms]


class SpoolView:
    """Reads the spool's files, once."""

    def __init__(self, spool: Path) -> None:
        self.records: dict[Key, Record] = {}
        self.started: dict[str, str] = {}
        self.repeated: list[Key] = []
        self.quarantined: dict[Key, Record] = {}
        self.quarantined_trades: set[Trade] = set()
        self.trades: dict[Trade, Terms] = {}
        self.gaps: list[Gap] = []
        self.unreadable: list[str] = []
        self.unfinished: list[str] = []
        self.torn = len(list((spool / "quarantined").glob("*.torn")))
        seen: set[str] = set()
        for folder in _FOLDERS:
            for path in sorted((spool / folder).rglob("*.ndjson*")):
                name = path.name.removesuffix(".zst")
                if not name.endswith(".ndjson"):
                    continue
                if folder != "archived" and path.stat().st_size:
                    self.unfinished.append(f"{folder}/{path.name}")
                self._read(path)
                if name in seen:
                    self.unfinished.append(f"{folder}/{path.name} is there twice")
                seen.add(name)
        for path in sorted((spool / "quarantined").glob("*.ndjson")):
            self._set_aside(_lines(path))

    def _read(self, path: Path) -> None:
        for number, line in enumerate(_lines(path), 1):
            try:
                received_at, key, record, members = _parsed(line)
            except ValueError as error:
                self.unreadable.append(f"{path.name} line {number}: {error}")
                continue
            self.started[key[0]] = min(self.started.get(key[0], received_at), received_at)
            if key in self.records:
                self.repeated.append(key)
            self.records[key] = record
            if members["type"] in ("match", "last_match"):
                trade = trade_of(members)
                if trade is not None:
                    self.trades.setdefault(*trade)
            elif members["type"] in ("pulse_gap", "pulse_gap_closed"):
                self.gaps.append(_gap(members))

    def _set_aside(self, lines: Iterable[bytes]) -> None:
        bounds: dict[str, list[int]] = {}
        keys = []
        for line in lines:
            _, key, record, members = _parsed(line)
            self.quarantined[key] = record
            keys.append(key)
            trade = trade_of(members) if members["type"] in ("match", "last_match") else None
            if trade is not None:
                bounds.setdefault(trade[0][0], []).append(trade[0][1])
        for product, ids in bounds.items():
            self.quarantined_trades |= {(product, trade_id) for trade_id in range(min(ids), max(ids) + 1)}
        if keys:
            for number in range(keys[0][1], keys[-1][1] + 1):
                self.quarantined.setdefault((keys[0][0], number), Record(0, 0, None))


def gather(
    *,
    spool: Path,
    journals: Iterable[Path],
    exchange_url: str,
    durable: Mapping[str, int],
    warehouse: WarehouseConfig,
) -> Evidence:
    """Everything, after the last process has ended its work."""
    view = SpoolView(spool)
    tables = Tables(warehouse)
    raw, raw_repeated = tables.raw()
    letters, letters_repeated = tables.letters()
    facts, facts_repeated = tables.facts()
    return Evidence(
        records=view.records,
        started=view.started,
        repeated=view.repeated,
        quarantined=view.quarantined,
        quarantined_trades=frozenset(view.quarantined_trades),
        unreadable=view.unreadable,
        unfinished=view.unfinished,
        torn=view.torn,
        trades=view.trades,
        gaps=view.gaps,
        durable=durable,
        sent=list(_sent(journals)),
        raw=raw,
        raw_repeated=raw_repeated,
        letters=letters,
        letters_repeated=letters_repeated,
        batches=tables.batches(),
        rows_by_batch=tables.rows_by_batch(),
        facts=facts,
        facts_repeated=facts_repeated,
        truth=_truth(exchange_url),
    )


class Tables:
    """Rows of the warehouse, asked without the proxy."""

    def __init__(self, config: WarehouseConfig) -> None:
        self._names = config.datasets()._asdict()
        self._client = bigquery.Client(
            project=config.project,
            location=config.location,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": config.warehouse_url},
        )

    def raw(self) -> tuple[dict[Key, int], list[Key]]:
        """Hash of each row's content, and the keys of rows that are there more than once."""
        rows = self._rows(
            "select session_id, record_no, connection_no, type, product_id, cast(trade_id as string) as trade_id,"
            " price, size, time, side, undecodable from {raw}.messages where received_at > '2000-01-01'"
        )
        return _once(((row[0], row[1]), _content(row[2], row[3:])) for row in rows)

    def letters(self) -> tuple[dict[Key, bool], list[Key]]:
        """Whether each dead letter is in raw as well, and keys that are there more than once."""
        rows = self._rows("select segment, record_no, is_loaded from {ops}.dead_letters")
        return _once(((row[0].split(".")[1], row[1]), row[2]) for row in rows)

    def batches(self) -> list[dict[str, Any]]:
        """The ledger, as it is."""
        rows = self._rows(
            "select batch_id, records, output_rows, loaded_at is not null as is_loaded,"
            " transformed_at is not null as is_transformed,"
            " array(select segment.segment from unnest(segments) as segment) as segments from {ops}.batches"
        )
        return [dict(row) for row in rows]

    def rows_by_batch(self) -> dict[str, int]:
        """Rows of raw by the batch that brought them."""
        rows = self._rows("select batch_id, count(*) from {raw}.messages where received_at > '2000-01-01' group by 1")
        return {row[0]: row[1] for row in rows}

    def facts(self) -> tuple[dict[Trade, Terms], list[Trade]]:
        """The mart's trades, and those that are there more than once. A mart that nobody built yet has none."""
        rows = self._rows("select product_id, trade_id, price, size, maker_side from {marts}.fct_trades")
        try:
            return _once(((row[0], row[1]), (_short(row[2]), _short(row[3]), row[4])) for row in rows)
        except NotFound:
            return {}, []

    def _rows(self, sql: str) -> Iterator[Any]:
        yield from self._client.query_and_wait(sql.format(**self._names), page_size=50_000)


def _once[K, V](pairs: Iterable[tuple[K, V]]) -> tuple[dict[K, V], list[K]]:
    found: dict[K, V] = {}
    repeated = []
    for key, value in pairs:
        if key in found:
            repeated.append(key)
        found[key] = value
    return found, repeated


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as plain:
        file: BinaryIO = plain
        if path.suffix == ".zst":
            file = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(plain))
        for line in file:
            yield line.rstrip(b"\n")


def _parsed(line: bytes) -> tuple[str, Key, Record, dict[str, Any]]:
    found = _ENVELOPE.match(line)
    if found is None:
        raise ValueError(f"not a line of the spool: {line[:200]!r}")
    session, number, connection = found[2].decode(), int(found[3]), int(found[4])
    frame = b"{" + line[found.end() :]
    members: dict[str, Any] = json.loads(frame, parse_float=str)
    content = _content(connection, [_text(members.get(name)) for name in _FIELDS])
    received = None if members["type"].startswith("pulse_") else hash(_received(frame, members))
    return found[1].decode(), (session, number), Record(connection, content, received), members


def _received(frame: bytes, members: Mapping[str, Any]) -> bytes:
    if members["type"] != "malformed":
        return frame
    text: str = members["undecodable"]
    return b64decode(text) if members.get("undecodable_encoding") == "base64" else text.encode()


def _content(connection: int, fields: Iterable[Any]) -> int:
    return hash((connection, *fields))


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value if isinstance(value, str | None) else json.dumps(value)


def trade_of(members: Mapping[str, Any]) -> tuple[Trade, Terms] | None:
    """A trade's id and terms; None where the message is none that could be used."""
    try:
        terms = _short(members["price"]), _short(members["size"]), members["side"]
        trade_id = members["trade_id"]
        return ((members["product_id"], trade_id), terms) if isinstance(trade_id, int) else None
    except KeyError:
        return None


def _short(decimal: Any) -> str:
    text = f"{decimal:f}" if not isinstance(decimal, str) else decimal
    return text.rstrip("0").rstrip(".") if "." in text else text


def _gap(members: Mapping[str, Any]) -> Gap:
    detail, product = members["detail"], members["product_id"]
    if members["type"] == "pulse_gap":
        return Gap(product, detail["first_missing"], detail["last_missing"], is_closed=False)
    return Gap(product, detail["first"], detail["last"], is_closed=True)


def _sent(journals: Iterable[Path]) -> Iterator[list[int]]:
    for folder in journals:
        for path in sorted(folder.glob("*.ndjson"), key=lambda path: int(path.stem)):
            with path.open("rb") as lines:
                yield [hash(_as_stored(entry)) for entry in map(json.loads, _whole(lines)) if "cut" not in entry]


def _whole(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The exchange was killed, perhaps in the middle of the last line; what it was about was not sent."""
    return (line for line in lines if line.endswith(b"\n"))


def _as_stored(entry: Mapping[str, str]) -> bytes:
    """Line breaks outside of texts are white space, which the spool keeps as spaces, where the frame is valid."""
    if "base64" in entry:
        return b64decode(entry["base64"])
    return entry["frame"].encode().replace(b"\n", b" ")


def _truth(url: str) -> dict[Trade, Terms]:
    with requests.get(f"{url}/truth/trades", stream=True, timeout=_TRUTH_SECONDS) as reply:
        reply.raise_for_status()
        trades = map(json.loads, reply.iter_lines(chunk_size=1024 * 1024))
        return dict(
            found for trade in trades if (found := trade_of({**trade, "side": trade["maker_side"]})) is not None
        )
