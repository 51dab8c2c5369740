"""The part of a malformed record's line that follows the envelope: the frame as a JSON string, both ways."""

import base64
import binascii
from typing import Literal

import msgspec

from .frames import MALFORMED


class _Malformed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    type: Literal["malformed"]
    undecodable: str
    undecodable_encoding: Literal["base64"] | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Malformed)


def encode(frame: bytes) -> bytes:
    """A JSON object that keeps the frame: as text, or in base64 when it is not UTF-8."""
    try:
        rest = _Malformed(MALFORMED, frame.decode())
    except UnicodeDecodeError:
        rest = _Malformed(MALFORMED, base64.b64encode(frame).decode(), "base64")
    return _encoder.encode(rest)


def decode(rest: bytes) -> bytes:
    """The frame. Raises msgspec.DecodeError or UnicodeDecodeError for what `encode` cannot have made."""
    record = _decoder.decode(rest)
    if record.undecodable_encoding is None:
        return record.undecodable.encode()
    try:
        return base64.b64decode(record.undecodable, validate=True)
    except binascii.Error as error:
        raise msgspec.DecodeError(f"undecodable is not base64: {error}") from error
