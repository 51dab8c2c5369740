"""What each message type of the feed must look like: the files in `contracts/`, and frames compared with them.

A field deviates as `new` (in the frame, not in the contract), `missing` (required, not in the frame) or `changed`
(in both, of another kind). docs/schema-contract.md explains the files and what becomes of deviations.

Comparing is made for millions of frames. `recognise` decodes a frame into a Struct made from its contract, which finds
every deviation but one: a text that is not what it should be, a price that is no number. Looking at texts one by one
would cost more than the decoding, so `misfits` looks at the same field of many messages at once. Only for a frame that
did not pass, `deviations` says what is wrong with it.
"""

import enum
import functools
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import Meta, Raw, ValidationError
from msgspec.structs import astuple

CONTRACTS_DIR = Path(__file__).parent / "contracts"

Change = Literal["new", "missing", "changed"]
Deviation = tuple[str, Change, str | None]
"""Name of the field, what is wrong with it, and its value as sent (None when it is missing)."""


class ContractInvalid(ValueError):
    """A contract file does not have the form of docs/schema-contract.md."""


class Kind(enum.StrEnum):
    """What a field holds."""

    STRING = "string"
    INTEGER = "integer"
    """A JSON number without fraction and exponent that fits 64 bits with a sign."""
    DECIMAL = "decimal"
    """A string with the text of a JSON number."""
    TIME = "time"
    """A string with an RFC 3339 time."""
    UUID = "uuid"
    """A string of 32 lower-case hex digits, hyphenated 8-4-4-4-12."""
    LIST = "list"
    """A JSON array of anything."""


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member of a message. `source` says how we know."""

    name: str
    kind: Kind
    required: bool
    description: str
    source: str


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The members of a message type, in the exchange's order, without `type`."""

    type: str
    description: str
    fields: tuple[Field, ...]


def load_contracts(folder: Path = CONTRACTS_DIR) -> list[Contract]:
    """Read `<type>.json` of every message type, sorted by name. Raises ContractInvalid."""
    contracts = []
    for path in sorted(folder.glob("*.json")):
        try:
            contract = msgspec.json.decode(path.read_bytes(), type=Contract)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ContractInvalid(f"{path}: {error}") from error
        names = [field.name for field in contract.fields]
        if contract.type != path.stem or "type" in names or len(set(names)) < len(names):
            raise ContractInvalid(f"{path}: type must be the file's name, and every field named once, type not at all")
        contracts.append(contract)
    return contracts


Fits = Callable[[Sequence[Any]], bool]
"""Whether all texts of a column are of a kind."""

_Number = Annotated[float, Meta(ge=-1e300, le=1e300)]  # finite: msgspec takes "nan" and "inf" for numbers
_Zoned = Annotated[datetime, Meta(tz=True)]
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789abcdef", b"0" * 15)
_UUID = b"00000000-0000-0000-0000-000000000000\n"


def _are_decimals(texts: Sequence[str]) -> bool:
    # The numbers are thrown away: nobody calculates with floats here.
    return _convertible(texts, list[_Number], strict=False)


def _are_times(texts: Sequence[str]) -> bool:
    return _convertible(texts, list[_Zoned], strict=True)


def _convertible(texts: Sequence[str], into: Any, *, strict: bool) -> bool:
    try:
        msgspec.convert(texts, into, strict=strict)
    except ValidationError:
        return False
    return True


def _are_uuids(texts: Sequence[str]) -> bool:
    lines = "\n".join((*texts, "")).encode()
    return lines.translate(_DIGITS_TO_ZERO) == _UUID * len(texts)


_FITS: dict[Kind, Fits] = {Kind.DECIMAL: _are_decimals, Kind.TIME: _are_times, Kind.UUID: _are_uuids}

_JSON_TYPE: dict[Kind, Any] = {
    Kind.STRING: str,
    Kind.INTEGER: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    Kind.DECIMAL: str,
    Kind.TIME: str,
    Kind.UUID: str,
    Kind.LIST: list[Raw],
}

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_as: dict[Kind, Callable[[Raw], Any]] = {
    kind: msgspec.json.Decoder(json_type).decode for kind, json_type in _JSON_TYPE.items()
}


class _Compiled:
    """A contract as code. `message` is a Struct whose fields are the contract's; absent ones are None."""

    def __init__(self, contract: Contract) -> None:
        self.fields = {field.name: field for field in contract.fields}
        # What every message must answer to, also when its contract has no such member.
        absent = {name: None for name in ("product_id", "time") if name not in self.fields}
        self.message: type[msgspec.Struct] = msgspec.defstruct(
            "Message",
            [
                (field.name, _JSON_TYPE[field.kind]) if field.required else (field.name, _JSON_TYPE[field.kind], None)
                for field in contract.fields
            ],
            namespace={"type": contract.type, **absent},
            tag_field="type",
            tag=contract.type,
            kw_only=True,
            forbid_unknown_fields=True,
            gc=False,
        )
        self._fits = [_FITS.get(field.kind) for field in contract.fields]

    def all_fit(self, messages: Iterable[msgspec.Struct]) -> bool:
        """Whether all texts of these messages are of their fields' kinds."""
        columns = zip(*map(astuple, messages), strict=True)
        for fits, field, column in zip(self._fits, self.fields.values(), columns, strict=True):
            if fits is not None:
                texts = column if field.required else [text for text in column if text is not None]
                if not fits(texts):
                    return False
        return True

    def deviations(self, members: dict[str, Raw]) -> Iterator[Deviation]:
        """What is wrong with a frame, given its members."""
        for name, field in self.fields.items():
            if name not in members:
                if field.required:
                    yield name, "missing", None
            elif not _is_of_kind(members[name], field.kind):
                yield name, "changed", bytes(members[name]).decode()
        for name in members.keys() - self.fields.keys() - {"type"}:
            yield name, "new", bytes(members[name]).decode()


def _is_of_kind(raw: Raw, kind: Kind) -> bool:
    try:
        value = _decode_as[kind](raw)
    except ValidationError:
        return False
    return kind not in _FITS or _FITS[kind]([value])


class Contracts:
    """All contracts, ready for comparing."""

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self._by_type = {contract.type: _Compiled(contract) for contract in contracts}
        self._by_message = {compiled.message: compiled for compiled in self._by_type.values()}
        self._decode = msgspec.json.Decoder(functools.reduce(operator.or_, self._by_message)).decode

    @classmethod
    def load(cls) -> Self:
        """Those of this repository. Raises ContractInvalid."""
        return cls(load_contracts())

    def recognise(self, frame: bytes) -> Any:
        """The message of a frame whose members are those of its contract, each of its JSON type; None for all else.

        The message has the attributes `type`, `product_id` and `time` (None where there is none).
        """
        try:
            return self._decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def misfits(self, messages: Sequence[Any]) -> list[int]:
        """Where in `messages` are recognised ones with a text that is not of its field's kind."""
        groups: dict[type, list[msgspec.Struct]] = defaultdict(list)
        for message in messages:
            groups[type(message)].append(message)
        suspects = {
            kind
            for kind, group in groups.items()
            if kind in self._by_message and not self._by_message[kind].all_fit(group)
        }
        return [
            index
            for index, message in enumerate(messages)
            if type(message) in suspects and not self._by_message[type(message)].all_fit([message])
        ]

    def deviations(self, message_type: str, frame: bytes) -> list[Deviation]:
        """How a valid frame of this type differs from its contract; of a type without one, everything is new."""
        members = _decode_members(frame)
        compiled = self._by_type.get(message_type)
        if compiled is None:
            return [(name, "new", bytes(raw).decode()) for name, raw in members.items()]
        return list(compiled.deviations(members))
