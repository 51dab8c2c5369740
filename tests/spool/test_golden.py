"""Pins the format byte by byte. When one of these tests has to change, so do docs/spool-format.md and the version."""

from include.spool import FORMAT_VERSION, RecordEncoder, SegmentName, Session, Spool, State, seal

ENVELOPE = (
    b'{"received_at":"2026-07-07T22:58:16.%bZ","streamer_id":"streamer-1","session_id":"20260707T225816Z-3f9a2c41",'
    b'"record_no":%d,"connection_no":%d,'
)
SEGMENT = b"".join(
    [
        ENVELOPE % (b"123456", 1, 0),
        b'"type":"pulse_started","detail":{"version":"0.1.0","products":["BTC-USD"]}}\n',
        ENVELOPE % (b"124456", 2, 1),
        b'"type":"match","trade_id":1,"side":"buy","size":"0.10","price":"63077.010","product_id":"BTC-USD",'
        b'"time":"2026-07-07T22:58:16.1234567Z","new":[1.50,{"\xc3\xa9":null}]}\n',
        ENVELOPE % (b"125456", 3, 1),
        b'"type":"malformed","undecodable":"[1, \\"\xc3\xa9\\"]\\n"}\n',
        ENVELOPE % (b"126456", 4, 1),
        b'"type":"malformed","undecodable":"/3t9","undecodable_encoding":"base64"}\n',
        ENVELOPE % (b"127456", 5, 2),
        b'"type":"pulse_subscribed","product_id":"ETH-USD","detail":{}}\n',
    ]
)
MANIFEST = (
    b'{"format_version":1,"segment":"streamer-1.20260707T225816Z-3f9a2c41.000001.v1.ndjson","source":"live",'
    b'"streamer_id":"streamer-1","session_id":"20260707T225816Z-3f9a2c41","segment_no":1,"records":5,"bytes":1148,'
    b'"first_record_no":1,"last_record_no":5,'
    b'"sha256":"da21612eb245a1a6885f2313ef862a3c1294c3dba54962ed8012af86114df912",'  # pragma: allowlist secret
    b'"received_at_min":"2026-07-07T22:58:16.123456Z","received_at_max":"2026-07-07T22:58:16.127456Z",'
    b'"traded_at_min":"2026-07-07T22:58:16.123456Z","traded_at_max":"2026-07-07T22:58:16.123457Z",'
    b'"types":{"malformed":2,"match":1,"pulse_started":1,"pulse_subscribed":1},'
    b'"product_ids":["BTC-USD","ETH-USD"],"torn_bytes":0,"sealed_at":"2026-07-07T23:00:00.000000Z","drift":[]}\n'
)


def golden_lines(encoder: RecordEncoder) -> bytes:
    records = [
        encoder.control("pulse_started", {"version": "0.1.0", "products": ["BTC-USD"]}, 0),
        encoder.frame(
            b' {"type":"match","trade_id":1,"side":"buy","size":"0.10","price":"63077.010","product_id":"BTC-USD",'
            b'"time":"2026-07-07T22:58:16.1234567Z","new":[1.50,{"\xc3\xa9":null}]}\n',
            1,
        ),
        encoder.frame(b'[1, "\xc3\xa9"]\n', 1),
        encoder.frame(b"\xff{}", 1),
        encoder.control("pulse_subscribed", {}, 2, "ETH-USD"),
    ]
    return b"".join(record.line for record in records)


def test_lines_have_the_specified_bytes(encoder: RecordEncoder) -> None:
    """Each kind of line is exactly as specified."""
    assert golden_lines(encoder) == SEGMENT


def test_manifest_has_the_specified_bytes(spool: Spool, session: Session) -> None:
    """The manifest has the specified keys in the specified order."""
    name = SegmentName(session.streamer_id, session.session_id, 1)
    spool.path(name, State.SEALING).write_bytes(SEGMENT)

    seal(spool, name, timeout_seconds=0, clock_ns=lambda: 1_783_465_200_000_000_000)

    assert spool.manifest_path(name, State.SEALED).read_bytes() == MANIFEST


def test_names_have_the_specified_form(spool: Spool, session: Session) -> None:
    """Files and folders are called as specified, and the format is version 1."""
    name = SegmentName(session.streamer_id, session.session_id, 1)

    assert name.file_name == "streamer-1.20260707T225816Z-3f9a2c41.000001.v1.ndjson"
    assert name.manifest_name == "streamer-1.20260707T225816Z-3f9a2c41.000001.v1.ndjson.manifest.json"
    assert (spool.root / "spool.json").read_bytes() == b'{"format":"pulse-spool","format_version":1,"source":"live"}\n'
    assert sorted(path.name for path in spool.root.iterdir() if path.is_dir()) == [
        "active", "archived", "loaded", "locks", "quarantined", "sealed", "sealing",
    ]  # fmt: skip
    assert FORMAT_VERSION == 1
