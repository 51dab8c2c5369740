"""What the sealer is told about messages from outside: this package knows frames, but not what the exchange sends."""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

Change = Literal["new", "missing", "changed"]


class Message(Protocol):
    """What the sealer reads of a message; None where there is no such member."""

    @property
    def type(self) -> str: ...
    @property
    def product_id(self) -> str | None: ...
    @property
    def time(self) -> str | None: ...


class Inspector(Protocol):
    """Compares frames with contracts, one contract for each message type."""

    def recognise(self, frame: bytes) -> Message | None:
        """The message of a frame that keeps its contract; None when in doubt, never an error.

        The sealer takes a recognised frame for a valid message without looking itself. So a contract has none of the
        reserved names, and a recognised frame no member that its contract lacks.
        """

    def misfits(self, messages: Sequence[Message]) -> list[int]:
        """Where in `messages` are recognised ones that break their contract after all, seen on a closer look."""

    def deviations(self, message_type: str, frame: bytes) -> Iterable[tuple[str, Change, str | None]]:
        """How a valid frame breaks its contract: field, change and value as sent. A field occurs once."""
