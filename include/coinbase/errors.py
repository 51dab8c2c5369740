"""`error` frames: how the exchange says no."""

import msgspec


class FeedMessageError(ValueError):
    """A frame does not have the shape its type promises."""


class FeedError(msgspec.Struct, frozen=True):
    """An `error` frame, for example message "Failed to subscribe", reason "ETH-USD is not a valid product".

    The exchange cancels only what it names: the rest of the subscription goes on.
    """

    message: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.message}: {self.reason}" if self.reason else self.message


_decoder = msgspec.json.Decoder(FeedError)


def parse_error(frame: bytes) -> FeedError:
    """Read an `error` frame. Raises FeedMessageError when its text is not where it should be."""
    try:
        return _decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FeedMessageError(f"error frame not understood: {error}") from None
