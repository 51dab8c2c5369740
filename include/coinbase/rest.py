"""The exchange's public REST API: no key, JSON, 10 requests a second.

RestError
├── RestUnavailable   the exchange or the network fails, or asks us to slow down: later it may work
├── RestRefused       the exchange says no (4xx): the same request will not work later either
└── RestMalformed     an answer is not what the API promises
"""

import asyncio
import random
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from itertools import pairwise
from typing import Any, Final, Protocol, Self

import aiohttp
import msgspec

from include.coinbase.product import Product
from include.coinbase.token_bucket import TokenBucket
from include.coinbase.trade import Trade, decode_trades

#: 429 without a usable Retry-After: as long as a spent bucket takes to give the next few turns.
_DEFAULT_PAUSE_SECONDS: Final = 1.0

#: The longest Retry-After that is obeyed: a bad one must not silence us for days.
_MAX_PAUSE_SECONDS: Final = 300.0

_EXCERPT_CHARACTERS: Final = 200

#: Trades of one answer, at most.
TRADES_PER_PAGE: Final = 1000


class RestError(Exception):
    """A request did not get its answer. The text names the address."""


class RestUnavailable(RestError):
    """The exchange or the network fails; trying again later may help."""


class RestRefused(RestError):
    """The exchange refuses this request with a 4xx status, for example 404 for an unknown product."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class RestMalformed(RestError):
    """An answer is no JSON, or of another shape than documented."""


class Turns(Protocol):
    """Who says when a request may be sent: a TokenBucket, or one that processes share."""

    async def turn(self) -> None:
        """Wait until one more request may be sent."""

    def pause(self, seconds: float) -> None:
        """Give nobody a turn for so long."""


class _Rejection(msgspec.Struct):
    message: str = ""


_products_decoder = msgspec.json.Decoder(list[Product])
#: Amounts come as strings; should one come as a number, it keeps its digits.
_listing_decoder = msgspec.json.Decoder(list[dict[str, Any]], float_hook=Decimal)
_rejection_decoder = msgspec.json.Decoder(_Rejection)


class RestClient:
    """A client to use inside `async with`; its methods raise RestError and nothing else.

    Network failures, 5xx and 429 are tried again after random waits that double from a second up to
    `max_wait_seconds`. A 429 besides gives its Retry-After as a pause to everybody who shares the bucket.
    """

    def __init__(
        self,
        base_url: str,
        *,
        user_agent: str,
        bucket: Turns | None = None,
        attempts: int = 4,
        timeout_seconds: float = 30.0,
        max_wait_seconds: float = 8.0,
    ) -> None:
        """`attempts` and `timeout_seconds` are for one request, the latter for each attempt."""
        self._base_url = base_url.rstrip("/")
        self._user_agent = user_agent
        self._bucket = bucket or TokenBucket()
        self._attempts = attempts
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._max_wait = max_wait_seconds
        self._session: aiohttp.ClientSession
        self.requests = 0
        """Sent so far, repetitions included."""
        self.refusals = 0
        """Of these, answered with 429."""
        self.failures = 0
        """Of these, answered with 5xx or not at all."""
        self.received_bytes = 0
        """Of the bodies of all answers."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout, headers={"User-Agent": self._user_agent})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def products(self) -> list[Product]:
        """Every product that is or was listed."""
        return await self._products(_products_decoder)

    async def listing(self) -> list[dict[str, Any]]:
        """The same list with all that it says of each product, also what `Product` does not know."""
        return await self._products(_listing_decoder)

    async def _products[Entry](self, decoder: msgspec.json.Decoder[list[Entry]]) -> list[Entry]:
        body = await self._get("/products")
        try:
            products = decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RestMalformed(f"GET {self._base_url}/products: {error}: {_excerpt(body)}") from None
        if not products:
            raise RestMalformed(f"GET {self._base_url}/products: the exchange lists no product at all")
        return products

    async def trades(self, product_id: str, *, after: int | None = None, limit: int = TRADES_PER_PAGE) -> list[Trade]:
        """The newest trades of a product whose id is below `after` (of all without one), newest first.

        Fewer than `limit` (1 to 1,000) when there are no more. Raises RestRefused with status 404 for a product that
        the exchange never had.
        """
        parameters: dict[str, str | int] = {"limit": limit} if after is None else {"limit": limit, "after": after}
        path = f"/products/{product_id}/trades"
        body = await self._get(path, **parameters)
        try:
            trades = decode_trades(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RestMalformed(f"GET {self._base_url}{path}: {error}: {_excerpt(body)}") from None
        ids = [trade.trade_id for trade in trades]
        if any(later <= earlier for later, earlier in pairwise(ids)) or (after is not None and ids and ids[0] >= after):
            raise RestMalformed(f"GET {self._base_url}{path}: ids are not below {after} and falling: {_excerpt(body)}")
        return trades

    async def _get(self, path: str, **parameters: str | int) -> bytes:
        """Body of a 200 answer."""
        attempt = 1
        while True:
            await self._bucket.turn()
            try:
                return await self._try(path, parameters)
            except RestUnavailable:
                if attempt >= self._attempts:
                    raise
            ceiling = min(2.0 ** (attempt - 1), self._max_wait)
            await asyncio.sleep(random.uniform(ceiling / 2, ceiling))
            attempt += 1

    async def _try(self, path: str, parameters: Mapping[str, str | int]) -> bytes:
        request = f"GET {self._base_url}{path}"
        self.requests += 1
        try:
            async with self._session.get(self._base_url + path, params=parameters) as response:
                body, status, headers = await response.read(), response.status, response.headers
        except TimeoutError:
            self.failures += 1
            raise RestUnavailable(f"{request}: no answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            self.failures += 1
            raise RestUnavailable(f"{request}: {error or type(error).__name__}") from error
        self.received_bytes += len(body)
        if status == HTTPStatus.OK:
            return body
        text = f"{request}: HTTP {status}: {_message(body)}"
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self.refusals += 1
            self._bucket.pause(_pause_seconds(headers.get("Retry-After", "")))
            raise RestUnavailable(text)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.failures += 1
            raise RestUnavailable(text)
        raise RestRefused(status, text)


def _pause_seconds(retry_after: str) -> float:
    """Seconds to pause. The header may be a date too; the exchange does not send one."""
    return min(float(retry_after), _MAX_PAUSE_SECONDS) if retry_after.isdecimal() else _DEFAULT_PAUSE_SECONDS


def _message(body: bytes) -> str:
    """The exchange's own words, `{"message":"NotFound"}`; of any other body its beginning."""
    try:
        return _rejection_decoder.decode(body).message or _excerpt(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _excerpt(body)


def _excerpt(body: bytes) -> str:
    return body[:_EXCERPT_CHARACTERS].decode(errors="replace")
