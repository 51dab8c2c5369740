"""What one connection wants, what it has asked for, and what it was refused. Pure: sends nothing, knows no clock."""

from collections.abc import Collection, Iterable, Iterator

from include.coinbase import (
    PRODUCTLESS,
    Comparison,
    FeedError,
    Subscription,
    compare,
    request_message,
    subscribe_message,
)


class Subscriptions:
    """The conversation about subscriptions on one connection.

    Requests are made from `first_request` and, whenever `due`, from `requests`. Answers go into `acknowledged` and
    `denied`. A granted product is never asked for twice: the exchange would repeat its last trade.
    """

    def __init__(self, products: Iterable[str], channels: Collection[str]) -> None:
        self._channels = channels
        self._wanted = tuple(products)
        self._asked: frozenset[str] = frozenset()
        self._granted: tuple[Subscription, ...] = ()
        self.refused: tuple[Subscription, ...] = ()
        """What was asked for and not granted, as far as the exchange has said."""
        self.due = False
        """Whether `requests` has something to say."""

    def first_request(self) -> str:
        """Ask for everything."""
        self._asked = frozenset(self._wanted)
        return subscribe_message(self._wanted, self._channels)

    def want(self, products: Iterable[str]) -> None:
        """Other products are wanted from now on."""
        self._wanted = tuple(products)
        self.due = True

    def ask_again(self) -> None:
        """It is time to ask for what was refused: a listing may have come."""
        self.due = self.due or bool(self.refused)

    def requests(self) -> Iterator[str]:
        """Drop what is not wanted any more; ask for what is new, and again for what was refused."""
        self.due = False
        wanted, refused = frozenset(self._wanted), {name: frozenset(ids) for name, ids in self.refused}
        gone, new = self._asked - wanted, wanted - self._asked
        drop, ask = {}, {}
        for channel in self._channels:
            not_granted = refused.get(channel, frozenset())
            if channel not in PRODUCTLESS:
                drop[channel] = gone - not_granted
                ask[channel] = new | (not_granted & wanted)
            elif channel in refused:
                ask[channel] = frozenset()
        self._asked = wanted
        self.refused = tuple(_without(self.refused, gone))
        if dropped := _subscriptions(drop):
            yield request_message("unsubscribe", dropped)
        if asked := _subscriptions(ask):
            yield request_message("subscribe", asked)

    def acknowledged(self, granted: tuple[Subscription, ...]) -> Comparison:
        """The exchange told what is subscribed by now; how that compares with what was asked for."""
        self._granted = granted
        comparison = compare(self._asked, self._channels, granted)
        self.refused = comparison.refused
        return comparison

    def denied(self, error: FeedError) -> None:
        """The exchange sent an error. Where it grants nothing of a request, no acknowledgement names what is missing.

        A product counts as refused when the reason names it ("XYZ-USD is not a valid product", "XYZ-USD is delisted").
        """
        named = self._asked.intersection(error.reason.split())
        refused = named.union(*(product_ids for _, product_ids in self.refused))
        if named:
            channels = [channel for channel in self._channels if channel not in PRODUCTLESS]
            self.refused = compare(refused, channels, self._granted).refused


def _without(subscriptions: Iterable[Subscription], gone: frozenset[str]) -> Iterator[Subscription]:
    for name, product_ids in subscriptions:
        left = tuple(product_id for product_id in product_ids if product_id not in gone)
        if left or name in PRODUCTLESS:
            yield Subscription(name, left)


def _subscriptions(channels: dict[str, frozenset[str]]) -> list[Subscription]:
    return [
        Subscription(name, tuple(sorted(product_ids)))
        for name, product_ids in channels.items()
        if product_ids or name in PRODUCTLESS
    ]
