"""Frame faults applied to the stream, before it is handed to the connections."""

from collections.abc import Iterable, Iterator

import msgspec

from simulator.active_faults import ActiveFault, ActiveFaults, kind_of
from simulator.faults import (
    Cut,
    Duplicate,
    FrameFault,
    Malformed,
    NewField,
    Newline,
    Oversize,
    Reorder,
    Skip,
    UnknownType,
)
from simulator.frames import Frame

_LEVEL = b'["63514.60","0.20000000"]'


class _Held:
    """A frame kept back, and how many of its kind must pass before it."""

    def __init__(self, frame: Frame, distance: int) -> None:
        self.frame = frame
        self.distance = distance

    def passed_by(self, frame: Frame) -> bool:
        """Count a frame that was sent; whether the held one is due behind it."""
        if frame.topic[1] != self.frame.topic[1]:
            return False
        if frame.type == self.frame.type:
            self.distance -= 1
        return self.distance <= 0 or frame.type == "heartbeat"


class Injector:
    """At most one fault a frame, the oldest that fits."""

    def __init__(self, faults: ActiveFaults) -> None:
        self._faults = faults
        self._held: list[_Held] = []
        self._skipping: dict[tuple[str, int], int | None] = {}

    def apply(self, frames: list[Frame]) -> list[Frame]:
        """The frames as they go out. A batch holds a trade's match and ticker both."""
        waiting = list(self._faults.active(FrameFault))
        if not waiting and not self._held:
            return frames
        self._skipping = {}
        out: list[Frame] = []
        for frame in frames:
            held = list(self._held)
            out += self._treated(frame, waiting)
            for item in held:
                if item.passed_by(frame):
                    out.append(item.frame)
                    self._held.remove(item)
        return out

    def _treated(self, frame: Frame, waiting: Iterable[ActiveFault[FrameFault]]) -> Iterable[Frame]:
        if frame.trade_id is not None and (trade := (frame.topic[1], frame.trade_id)) in self._skipping:
            return _except_for(frame, self._skipping[trade])
        for active in waiting:
            if _fits(active.fault, frame) and self._faults.strikes(active):
                self._faults.hit(
                    active,
                    connection=active.fault.connection,
                    product_id=frame.topic[1],
                    type=frame.type,
                    trade_id=frame.trade_id,
                )
                return list(self._struck(frame, active.fault))
        return [frame]

    def _struck(self, frame: Frame, fault: FrameFault) -> Iterator[Frame]:
        """What goes out instead of the frame.

        The untouched one for connections not concerned, the changed ones for the others.
        """
        only = fault.connection
        match fault:
            case Skip():
                assert frame.trade_id is not None
                self._skipping[frame.topic[1], frame.trade_id] = only
                yield from _except_for(frame, only)
            case Reorder():
                self._held.append(_Held(frame._replace(only=only), fault.distance))
                yield from _except_for(frame, only)
            case Duplicate():
                yield frame
                yield from [frame._replace(only=only)] * fault.copies
            case Oversize():
                yield frame._replace(type="snapshot", data=_snapshot(frame.topic[1], fault.size_bytes), only=only)
                yield frame
            case UnknownType():
                yield frame._replace(type=fault.type_name, data=_unknown(fault.type_name, frame.topic[1]), only=only)
                yield frame
            case Malformed():
                is_text = fault.base64 is None
                yield frame._replace(type="malformed", data=_malformed(frame, fault), is_text=is_text, only=only)
                yield from _except_for(frame, only) if fault.replace else [frame]
            case NewField() | Newline() | Cut():
                yield from _except_for(frame, only)
                yield _changed(frame, fault)._replace(only=only)
            case _:
                raise AssertionError(kind_of(fault))


def _fits(fault: FrameFault, frame: Frame) -> bool:
    if fault.product_id not in (None, frame.topic[1]):
        return False
    return frame.trade_id is not None if isinstance(fault, Skip) else frame.type == fault.message_type


def _except_for(frame: Frame, connection: int | None) -> list[Frame]:
    return [] if connection is None else [frame._replace(but=connection)]


def _changed(frame: Frame, fault: NewField | Newline | Cut) -> Frame:
    match fault:
        case NewField():
            member = msgspec.json.encode(fault.name) + b":" + bytes(fault.value)
            return frame._replace(data=frame.data[:-1] + b"," + member + b"}")
        case Newline():
            return frame._replace(data=frame.data.replace(b",", b",\n"))
        case Cut():
            return frame._replace(is_cut=True)


def _malformed(frame: Frame, fault: Malformed) -> bytes:
    if fault.base64 is not None:
        return fault.base64
    return frame.data[: len(frame.data) * 2 // 3] if fault.text is None else fault.text.encode()


def _unknown(type_name: str, product_id: str) -> bytes:
    return msgspec.json.encode({"type": type_name, "product_id": product_id, "indicative_price": "1.00"})


def _snapshot(product_id: str, size: int) -> bytes:
    head = b'{"type":"snapshot","product_id":"' + product_id.encode() + b'","asks":['
    levels = b",".join([_LEVEL] * max(1, (size - len(head)) // (len(_LEVEL) + 1)))
    return head + levels + b'],"bids":[]}'
