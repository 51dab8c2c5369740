"""What a connection asked for, and what it gets: subscribe and unsubscribe messages, pure."""

from collections.abc import Collection, Iterator
from random import Random
from typing import Literal

import msgspec

from simulator import frames
from simulator.frames import Topic

#: Channels we have. The real exchange also has status, ticker_batch, level2_batch, auctions and, with a key, full,
#: level2, level3, user.
CHANNELS = ("matches", "ticker", "heartbeat")

_NEED_AUTHENTICATION = frozenset({"level2", "level3", "full", "user", "balance"})
_NOT_SIMULATED = frozenset({"status", "ticker_batch", "level2_batch", "level2_50", "auctionfeed", "rfq_matches"})

#: `match` is an old alias that the exchange still takes.
_ALIASES = {"match": "matches"}


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] | None = None


class _Request(msgspec.Struct):
    type: Literal["subscribe", "unsubscribe"]
    channels: list[str | _Channel] = []
    product_ids: list[str] = []


class Subscription:
    """The subscriptions of one connection: `topics` is changed in place."""

    def __init__(self, product_ids: Collection[str], topics: set[Topic], random: Random) -> None:
        self._known = product_ids
        self._topics = topics
        self._random = random

    def handle(self, message: str | bytes) -> tuple[list[bytes], list[Topic]]:
        """Answers to one message of the client, in order, and the topics that a subscribe asked for and got.

        A topic it had before counts as got again. What is refused does not cancel the rest. Without anything granted
        there is no acknowledgement, only errors.
        """
        try:
            request = msgspec.json.decode(message, type=_Request)
        except msgspec.ValidationError as error:
            return [frames.error("Failed to subscribe", f"{error}")], []
        except (msgspec.DecodeError, UnicodeDecodeError):
            return [frames.error("Malformed JSON")], []
        answers: list[bytes] = []
        asked: list[Topic] = []
        for name, product_ids in _channels(request):
            whole_channel = request.type == "unsubscribe" and not product_ids
            asked += self._examine(name, self._had(name) if whole_channel else product_ids, answers)
        asked = list(dict.fromkeys(asked))
        if request.type == "unsubscribe":
            self._topics.difference_update(asked)
            return [*answers, self._acknowledgement()], []
        self._topics.update(asked)
        return [*answers, *([self._acknowledgement()] if asked else [])], asked

    def _examine(self, name: str, product_ids: list[str], answers: list[bytes]) -> Iterator[Topic]:
        """Topics of one channel of a request; refusals are added to the answers, each once."""
        channel = _ALIASES.get(name, name)
        if refusal := _refusal(channel):
            answers.append(frames.error("Failed to subscribe", refusal))
            return
        for product_id in product_ids:
            if product_id in self._known:
                yield channel, product_id
            else:
                refused = frames.error("Failed to subscribe", f"{product_id} is not a valid product")
                if refused not in answers:
                    answers.append(refused)

    def _had(self, name: str) -> list[str]:
        return [product_id for channel, product_id in self._topics if channel == _ALIASES.get(name, name)]

    def _acknowledgement(self) -> bytes:
        """All that is subscribed now, products in no particular order, as the exchange does."""
        channels: dict[str, list[str]] = {}
        for channel in CHANNELS:
            product_ids = sorted(product_id for name, product_id in self._topics if name == channel)
            if product_ids:
                self._random.shuffle(product_ids)
                channels[channel] = product_ids
        return frames.subscriptions(channels)


def _channels(request: _Request) -> Iterator[tuple[str, list[str]]]:
    for channel in request.channels:
        if isinstance(channel, str):
            yield channel, request.product_ids
        else:
            yield channel.name, request.product_ids if channel.product_ids is None else channel.product_ids


def _refusal(channel: str) -> str | None:
    if channel in CHANNELS:
        return None
    if channel in _NEED_AUTHENTICATION:
        return (
            "level2, level3, and full channels now require authentication. "
            "https://docs.cdp.coinbase.com/exchange/docs/websocket-auth"
        )
    return f"{channel} is not simulated" if channel in _NOT_SIMULATED else f"{channel} is not a valid channel"
