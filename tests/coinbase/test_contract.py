"""The contracts of the message types, and comparing frames with them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.coinbase.contract import Contract, ContractInvalid, Contracts, Kind, load_contracts
from include.spool.frames import HEADER_FIELDS, RESERVED
from include.warehouse.table_specs import SCHEMAS

CONTRACTS = {contract.type: contract for contract in load_contracts()}

GOOD: dict[Kind, list[Any]] = {
    Kind.STRING: ["", "buy", "é"],
    Kind.INTEGER: [0, -1, 2**63 - 1, -(2**63)],
    Kind.DECIMAL: ["0", "63077.010", "-0.00000001", "1e-8", "9" * 30],
    Kind.TIME: ["2026-07-07T22:58:16Z", "2026-07-07T22:58:16.123456Z", "2026-07-07T22:58:16.123456789+02:00"],
    Kind.UUID: ["6b380eba-fd1d-43a8-91a0-fdb06e6ce87f"],
    Kind.LIST: [[], [["buy", "1", 2, None]], [{"a": [{}]}]],
}
BAD: dict[Kind, list[Any]] = {
    Kind.STRING: [None, 1, [], {}],
    Kind.INTEGER: [None, "1", 1.5, 2**63, -(2**63) - 1, True, 10**30],
    Kind.DECIMAL: [None, 1, 1.5, "", "abc", ".", "1.", "1,5", "1\n2", " 1", "nan", "inf", "-Infinity", "1_0", "٣"],
    Kind.TIME: [None, 1783465096, "", "2026-07-07", "2026-07-07T22:58:16", "2026-02-30T00:00:00Z", "1783465096"],
    Kind.UUID: [
        None,
        1,
        "",
        "6b380ebafd1d43a891a0fdb06e6ce87f",  # pragma: allowlist secret
        "6B380EBA-FD1D-43A8-91A0-FDB06E6CE87F",
        "6b380eba-fd1d-43a8-91a0-fdb06e6ce87",
        "6b380eba-fd1d-43a8-91a0-fdb06e6ce87f\n",
        "6b380eba-fd1d-43a8-91a0-fdb06e6ce87g",
    ],
    Kind.LIST: [None, "[]", {}, 1],
}
COLUMN_OF = {Kind.INTEGER: "INTEGER", Kind.LIST: "JSON"}


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    """Those of the repository."""
    return Contracts.load()


def frame_of(contract: Contract, **members: Any) -> bytes:
    """A frame with every member of the contract; those given replace or follow them."""
    values = {field.name: GOOD[field.kind][-1] for field in contract.fields}
    return json.dumps({"type": contract.type} | values | members).encode()


def without(frame: bytes, name: str) -> bytes:
    """The frame less one member."""
    return json.dumps({key: value for key, value in json.loads(frame).items() if key != name}).encode()


def keeps(contracts: Contracts, frame: bytes) -> bool:
    """Whether the quick way finds nothing wrong."""
    message = contracts.recognise(frame)
    return message is not None and contracts.misfits([message]) == []


def values_of(table: dict[Kind, list[Any]]) -> list[Any]:
    """(contract, field, value) for every field of every contract and every value of its kind."""
    return [
        pytest.param(contract, field.name, value, id=f"{contract.type}.{field.name}-{number}")
        for contract in CONTRACTS.values()
        for field in contract.fields
        for number, value in enumerate(table[field.kind])
    ]


def test_every_message_type_has_a_contract() -> None:
    """One file for each type that public channels send."""
    assert set(CONTRACTS) == {
        "error", "heartbeat", "l2update", "last_match", "match", "rest_trade", "snapshot", "status", "subscriptions",
        "ticker",
    }  # fmt: skip


def test_no_contract_has_a_reserved_name() -> None:
    """The sealer takes a recognised frame for a message; one with a reserved name is none."""
    names = {field.name for contract in CONTRACTS.values() for field in contract.fields}

    assert names.isdisjoint(RESERVED)
    assert set(HEADER_FIELDS) - {"type"} <= names


def test_every_field_has_a_column() -> None:
    """What keeps its contract loads: its members are columns of raw.messages, of a type that holds them."""
    table = json.loads((SCHEMAS / "messages.json").read_bytes())
    columns = {column["name"]: column["type"] for column in table["schema"]}

    for contract in CONTRACTS.values():
        for field in contract.fields:
            assert columns.get(field.name) == COLUMN_OF.get(field.kind, "STRING"), (contract.type, field.name)


@pytest.mark.parametrize(("contract", "name", "value"), values_of(GOOD))
def test_a_frame_that_keeps_its_contract_is_recognised(
    contracts: Contracts, contract: Contract, name: str, value: Any
) -> None:
    """Every value of a field's kind is accepted, by the quick and by the thorough comparison."""
    frame = frame_of(contract, **{name: value})

    assert keeps(contracts, frame)
    assert contracts.deviations(contract.type, frame) == []


@pytest.mark.parametrize(("contract", "name", "value"), values_of(BAD))
def test_a_value_of_another_kind_is_a_change(contracts: Contracts, contract: Contract, name: str, value: Any) -> None:
    """It is found by both comparisons, and shown as it was sent."""
    frame = frame_of(contract, **{name: value})

    assert not keeps(contracts, frame)
    assert contracts.deviations(contract.type, frame) == [(name, "changed", json.dumps(value))]


@pytest.mark.parametrize(("contract", "name", "_"), values_of({kind: [0] for kind in Kind}))
def test_only_a_required_member_is_missed(contracts: Contracts, contract: Contract, name: str, _: Any) -> None:
    """A frame without an optional member keeps its contract."""
    frame = without(frame_of(contract), name)
    required = next(field.required for field in contract.fields if field.name == name)

    assert keeps(contracts, frame) is not required
    assert contracts.deviations(contract.type, frame) == ([(name, "missing", None)] if required else [])


@pytest.mark.parametrize("contract", list(CONTRACTS.values()), ids=CONTRACTS)
@pytest.mark.parametrize("name", ["fee", "Type", "record_no", "Price", ""])
def test_a_member_that_no_contract_names_is_new(contracts: Contracts, contract: Contract, name: str) -> None:
    """Names are compared exactly; the value is shown as it was sent."""
    frame = frame_of(contract, **{name: {"a": 1.50}})

    assert not keeps(contracts, frame)
    assert contracts.deviations(contract.type, frame) == [(name, "new", '{"a": 1.5}')]


def test_of_a_type_without_contract_everything_is_new(contracts: Contracts) -> None:
    """Also that there is such a type."""
    frame = b'{"type":"auction","price":"1"}'

    assert not keeps(contracts, frame)
    assert contracts.deviations("auction", frame) == [("type", "new", '"auction"'), ("price", "new", '"1"')]


@given(bad=st.sets(st.integers(0, 19)))
def test_a_misfit_is_found_among_many(bad: set[int]) -> None:
    """Looking at a column of many messages finds exactly those that looking at each finds."""
    contracts = Contracts.load()
    kinds = [CONTRACTS["match"], CONTRACTS["ticker"], CONTRACTS["snapshot"]]
    frames = [frame_of(kinds[index % 3], **({"time": "now"} if index in bad else {})) for index in range(20)]

    messages = [contracts.recognise(without(frame, "best_bid_size")) for frame in frames]

    assert contracts.misfits(messages) == sorted(bad)


FIELD = {"name": "a", "kind": "string", "required": True, "description": "", "source": ""}
FILE = {"type": "match", "description": "", "fields": [FIELD]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        json.dumps(FILE | {"type": "ticker"}).encode(),
        json.dumps(FILE | {"more": 1}).encode(),
        json.dumps(FILE | {"fields": [FIELD | {"kind": "float"}]}).encode(),
        json.dumps(FILE | {"fields": [FIELD | {"name": "type"}]}).encode(),
        json.dumps(FILE | {"fields": [FIELD, FIELD]}).encode(),
        json.dumps(FILE | {"fields": [{"name": "a", "kind": "string"}]}).encode(),
    ],
)
def test_a_contract_file_of_another_form_is_refused(tmp_path: Path, content: bytes) -> None:
    """The error names the file."""
    (tmp_path / "match.json").write_bytes(content)

    with pytest.raises(ContractInvalid, match=r"match\.json"):
        load_contracts(tmp_path)
