"""When the next taker order arrives, and for which product: a Poisson process that changes between calm and busy."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random

from simulator.instants import SECOND
from simulator.walk import MEAN_SWEEP_LENGTH

#: (factor of the mean rate, mean seconds it lasts): four times the rate in a tenth of the time, the mean stays 1.
_PHASES = ((2 / 3, 18.0), (4.0, 2.0))

#: After a pause of the process at most this much is made up for.
_MAX_BACKLOG = SECOND


class Arrivals:
    """Arrival times at `rate` trades a second over all products; earlier products trade more often, like ranks do."""

    def __init__(self, product_ids: Sequence[str], rate: float, *, seed: int, start: int) -> None:
        self._product_ids = product_ids
        self._cumulative_weights = list(accumulate(1 / (rank + 1) for rank in range(len(product_ids))))
        self._sweeps_per_second = rate / MEAN_SWEEP_LENGTH
        self._random = Random(seed)
        self._phase = 0
        self._phase_end = start + self._phase_length()
        self._next = start + self._gap() if rate else None

    def due(self, until: int) -> Iterator[tuple[int, str]]:
        """Arrivals not given out yet, up to and including this instant, in order; what is not taken stays."""
        if self._next is None:
            return
        self._next = max(self._next, until - _MAX_BACKLOG)
        while self._next <= until:
            at = self._next
            self._next += self._gap()
            if self._next >= self._phase_end:
                self._phase = 1 - self._phase
                self._phase_end = self._next + self._phase_length()
            yield at, self._random.choices(self._product_ids, cum_weights=self._cumulative_weights)[0]

    def _gap(self) -> int:
        return round(self._random.expovariate(self._sweeps_per_second * _PHASES[self._phase][0]) * SECOND)

    def _phase_length(self) -> int:
        return round(self._random.expovariate(1 / _PHASES[self._phase][1]) * SECOND)
