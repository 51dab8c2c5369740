"""Spreading products over connections."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from itertools import count
from typing import NamedTuple

from streamer.connection import Feed
from streamer.feed_status import FeedStatus

#: Makes the feed of a status for some products.
OpenFeed = Callable[[FeedStatus, tuple[str, ...]], Feed]


class Assignment:
    """Which shard a product is on. A product stays where it is for as long as it is wanted."""

    def __init__(self, max_products: int) -> None:
        """`max_products` is the limit of one shard."""
        self._max_products = max_products
        self._shards: dict[int, list[str]] = {}

    def update(self, products: Collection[str]) -> dict[int, tuple[str, ...]]:
        """Assign exactly these; the shards (1, 2, 3 …) that changed, with nothing on those that are gone.

        New products fill the gaps in the lowest shards first.
        """
        before = {number: tuple(assigned) for number, assigned in self._shards.items()}
        wanted = dict.fromkeys(products)
        for number, assigned in before.items():
            self._shards[number] = [product for product in assigned if product in wanted]
        assigned_already = {product for assigned in self._shards.values() for product in assigned}
        for product in wanted:
            if product not in assigned_already:
                self._with_room().append(product)
        after = {number: tuple(assigned) for number, assigned in self._shards.items()}
        self._shards = {number: assigned for number, assigned in self._shards.items() if assigned}
        return {number: after[number] for number in sorted(after) if after[number] != before.get(number)}

    def _with_room(self) -> list[str]:
        return next(
            shard for number in count(1) if len(shard := self._shards.setdefault(number, [])) < self._max_products
        )


class _Running(NamedTuple):
    status: FeedStatus
    feed: Feed
    task: asyncio.Task[None]


class Shards:
    """One feed for each shard and replica, as tasks of one group: a feed's fatal error ends them all."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        open_feed: OpenFeed,
        statuses: list[FeedStatus],
        *,
        products_per_connection: int,
        replicas: int,
    ) -> None:
        """`statuses` is kept up to date: one for each feed that there is."""
        self._tasks = tasks
        self._open_feed = open_feed
        self._statuses = statuses
        self._assignment = Assignment(products_per_connection)
        self._replicas = replicas
        self._running: dict[int, list[_Running]] = {}

    def assign(self, products: Collection[str]) -> None:
        """Capture exactly these from now on. Feeds whose products stay the same notice nothing."""
        changed = self._assignment.update(products)
        opened = []
        for shard, wanted in changed.items():
            if not wanted:
                self._close(shard)
            elif shard in self._running:
                for running in self._running[shard]:
                    running.feed.want(wanted)
            else:
                opened.append(shard)
        # Connections are opened one after the other: every product gets its first before any gets its second.
        for replica in range(1, self._replicas + 1):
            self._open(replica, opened, changed)

    def _open(self, replica: int, shards: Iterable[int], products: dict[int, tuple[str, ...]]) -> None:
        for shard in shards:
            status = FeedStatus(shard, replica)
            feed = self._open_feed(status, products[shard])
            task = self._tasks.create_task(feed.run(), name=f"feed-{shard}.{replica}")
            self._running.setdefault(shard, []).append(_Running(status, feed, task))
            self._statuses.append(status)

    def _close(self, shard: int) -> None:
        for running in self._running.pop(shard):
            running.task.cancel()
            self._statuses.remove(running.status)
