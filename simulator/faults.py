"""What can be made to go wrong, as the bodies of `POST /control/faults`: one JSON object each, told apart by `kind`.

Three families. *Frame faults* lie in wait for the next frames that fit; *gates* act on handshakes or REST requests;
both last until `count` injections, `duration_seconds` or a DELETE, whatever comes first. *Actions* happen at once.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Probability = Annotated[float, Meta(gt=0, le=1)]
Seconds = Annotated[float, Meta(gt=0)]


class _Fault(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    pass


class Waiting(_Fault, kw_only=True, frozen=True):
    """A fault that lies in wait. `count` null: until cleared."""

    count: Count | None = 1
    probability: Probability = 1.0
    duration_seconds: Seconds | None = None


class FrameFault(Waiting, kw_only=True, frozen=True):
    """Which frames fit. Without `connection` all connections are affected alike, and one frame counts once."""

    product_id: str | None = None
    message_type: Literal["match", "ticker", "heartbeat"] = "match"
    connection: Count | None = None


class Duplicate(FrameFault, tag="duplicate", kw_only=True, frozen=True):
    """The frame is sent again, right behind itself."""

    copies: Count = 1


class Reorder(FrameFault, tag="reorder", kw_only=True, frozen=True):
    """The frame is sent behind the next `distance` ones of its product and type.

    At the latest behind the product's next heartbeat.
    """

    distance: Count = 1


class Skip(FrameFault, tag="skip", kw_only=True, frozen=True):
    """A trade is made and recorded, but its match and ticker are not sent (`message_type` has no meaning here)."""


class Malformed(FrameFault, tag="malformed", kw_only=True, frozen=True):
    """A frame that is no valid message is sent before the fitting one, or instead of it (`replace`).

    `text` or `base64` (sent as a binary frame) say what; otherwise it is the fitting frame without its end.
    """

    text: str | None = None
    base64: bytes | None = None
    replace: bool = False


class Oversize(FrameFault, tag="oversize", kw_only=True, frozen=True):
    """A valid level 2 snapshot of about this many bytes is sent before the fitting frame."""

    size_bytes: Annotated[int, Meta(ge=1_000, le=64 * 1024 * 1024)] = 1_200_000


class UnknownType(FrameFault, tag="unknown_type", kw_only=True, frozen=True):
    """A message of a type that nobody has heard of is sent before the fitting frame."""

    type_name: str = "auction_preview"


class NewField(FrameFault, tag="new_field", kw_only=True, frozen=True):
    """The frame gets one more member at its end."""

    name: str = "settlement_venue"
    value: msgspec.Raw = msgspec.Raw(b'{"code":"XSIM","tier":2}')


class Newline(FrameFault, tag="newline", kw_only=True, frozen=True):
    """The frame gets raw line breaks behind its commas: white space to JSON."""


class Cut(FrameFault, tag="cut", kw_only=True, frozen=True):
    """The connection gets half of the frame, then TCP ends."""


class RefuseHandshake(Waiting, tag="refuse_handshake", kw_only=True, frozen=True):
    """New WebSocket connections are answered with this status."""

    status: Literal[400, 401, 403, 404, 429, 500, 502, 503, 504] = 503


class RestError(Waiting, tag="rest_error", kw_only=True, frozen=True):
    """REST requests of the exchange (not `/truth`, `/control`, `/status`) are answered with this status.

    With `retry_after_seconds` the answer has a Retry-After.
    """

    status: Literal[400, 401, 403, 404, 429, 500, 502, 503, 504] = 500
    retry_after_seconds: Annotated[int, Meta(ge=0)] | None = None


class Drop(_Fault, tag="drop", kw_only=True, frozen=True):
    """TCP ends without a closing handshake, with RST if `reset`. Without `connection`: on all."""

    connection: Count | None = None
    reset: bool = False


class Close(_Fault, tag="close", kw_only=True, frozen=True):
    """The WebSocket closing handshake, as in a deploy (`code` 1012 or 1001). Without `connection`: all at once."""

    connection: Count | None = None
    code: Annotated[int, Meta(ge=1000, le=4999)] = 1012
    reason: str = ""


class Stall(_Fault, tag="stall", kw_only=True, frozen=True):
    """Silence on an open socket; what would have been sent is lost. Without `answer_pings` it looks half-open."""

    connection: Count | None = None
    duration_seconds: Seconds | None = None
    answer_pings: bool = True


class ErrorFrame(_Fault, tag="error_frame", kw_only=True, frozen=True):
    """An error message out of the blue."""

    connection: Count | None = None
    message: str = "Internal error"
    reason: str | None = None


class Burst(_Fault, tag="burst", kw_only=True, frozen=True):
    """This many trades of one product in one microsecond."""

    product_id: str
    trades: Annotated[int, Meta(ge=1, le=100_000)] = 37


FrameFaults = Duplicate | Reorder | Skip | Malformed | Oversize | UnknownType | NewField | Newline | Cut
Gates = RefuseHandshake | RestError
Actions = Drop | Close | Stall | ErrorFrame | Burst
Fault = FrameFaults | Gates | Actions
