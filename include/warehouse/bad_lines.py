"""Finds the lines for which BigQuery refuses a batch, with bounded work.

First every line is checked here (`line_check`), which costs no job. Only when that finds nothing, trial jobs load parts
of the batch into a scratch table: a part that is refused is halved until single lines are left; where BigQuery's error
text names a position, that line is tried first. No line is called bad that BigQuery did not refuse when it was alone.
"""

import itertools
import logging
import re
import secrets
from collections.abc import Callable, Iterator, Sequence

import msgspec
from google.cloud import bigquery

from include.warehouse.batch_reader import BatchLine, BatchReader
from include.warehouse.batches import Batch
from include.warehouse.dead_letters import BadLine
from include.warehouse.line_check import LineCheck
from include.warehouse.loader import LoadError, LoadFailed, LoadOptions, finished, job_config, submitted
from include.warehouse.outcomes import Reaction
from include.warehouse.table_specs import load_spec

#: BigQuery: "row starting at position 1234", in bytes.
_POSITION = re.compile(r"position:? (\d+)")
#: The local warehouse: "at byte 225 in line 62", which counts the first line as the second.
_LINE = re.compile(r"at byte \d+ in line (\d+)")

log = logging.getLogger(__name__)


class TooManyBadLines(LoadError):
    """More refused lines than may be left out of a batch. Nothing was written down."""


class SearchGivenUp(LoadError):
    """The batch is refused, and no line is known to be to blame."""


class Bounds(msgspec.Struct, frozen=True):
    """How many lines may be left out of a batch, and how many trial jobs may look for them."""

    bad_lines: int
    probes: int


class Refusal(msgspec.Struct, frozen=True):
    """BigQuery's words about a part of a batch."""

    messages: Sequence[str]


class Search:
    """Finds the bad lines of one batch."""

    def __init__(
        self, client: bigquery.Client, batch: Batch, reader: BatchReader, options: LoadOptions, bounds: Bounds
    ) -> None:
        self._reader = reader
        self._bounds = bounds
        self._prober = _Prober(client, batch, reader, options)

    def run(self) -> list[BadLine]:
        """The bad lines; none when BigQuery takes all lines now.

        Raises TooManyBadLines, SearchGivenUp, and what loading raises.
        """
        found = self._check()
        if not found:
            with self._prober:
                found = bisect(
                    self._prober.probe, self._reader.records, self._bounds, hint=self._prober.line_of_position
                )
        lines = self._lines(found)
        return [BadLine(lines[index], error) for index, error in sorted(found.items())]

    def _check(self) -> dict[int, str]:
        check = LineCheck(load_spec("messages"))
        found: dict[int, str] = {}
        for index, line in enumerate(self._reader.lines()):
            problem = check.problem(self._reader.spliced(line))
            if problem is not None:
                add(found, index, problem, self._bounds)
        return found

    def _lines(self, found: dict[int, str]) -> dict[int, BatchLine]:
        return {index: line for index, line in enumerate(self._reader.lines()) if index in found}


def add(found: dict[int, str], index: int, error: str, bounds: Bounds) -> None:
    """Note a bad line. Raises TooManyBadLines."""
    if len(found) >= bounds.bad_lines:
        examples = "; ".join(itertools.islice(found.values(), 3)) or error
        raise TooManyBadLines(
            f"more than {bounds.bad_lines} lines of the batch are refused, for example: {examples}. Hint: has the "
            f"exchange changed a type (view schema_drift in the ops dataset)? PULSE_DEAD_LETTERS_MAX says how many "
            f"lines may be left out"
        )
    found[index] = error


def bisect(
    probe: Callable[[int, int], Refusal | None],
    count: int,
    bounds: Bounds,
    *,
    hint: Callable[[int, int, Sequence[str]], int | None] = lambda *_: None,
) -> dict[int, str]:
    """The lines that are refused alone, with the error text, among `count` lines; none when all are taken together.

    `probe(first, end)` tries a range of lines; `hint(first, end, messages)` guesses a line from a refusal's words.
    Raises TooManyBadLines and SearchGivenUp.
    """
    found: dict[int, str] = {}
    probes = 0

    def refused(first: int, end: int) -> Refusal | None:
        nonlocal probes
        probes += 1
        if probes > bounds.probes:
            raise SearchGivenUp(
                f"{bounds.probes} trial jobs did not find the lines for which the batch is refused; {len(found)} were "
                f"found. Hint: PULSE_PROBE_JOBS_MAX"
            )
        return probe(first, end)

    def search(first: int, end: int) -> bool:
        """Find the bad lines of a range; whether it was refused."""
        refusal = refused(first, end) if first < end else None
        if refusal is None:
            return False
        if end - first == 1:
            add(found, first, "; ".join(refusal.messages), bounds)
            return True
        guess = hint(first, end, refusal.messages)
        if guess is not None and first <= guess < end:
            alone = refused(guess, guess + 1)
            if alone is not None:
                add(found, guess, "; ".join(alone.messages), bounds)
                search(first, guess)
                search(guess + 1, end)
                return True
        middle = (first + end) // 2
        search(first, middle)
        search(middle, end)
        return True

    if search(0, count) and not found:
        raise SearchGivenUp("the lines are refused together, but none of them alone. Hint: see the job's errors")
    return found


class _Part(BatchReader):
    """A range of a batch's lines as an upload of its own."""

    def __init__(self, whole: BatchReader, first: int, end: int) -> None:
        self._whole = whole
        self._range = first, end
        self.records = end - first

    def __iter__(self) -> Iterator[bytes]:
        lines = itertools.islice(self._whole.lines(), *self._range)
        while group := list(itertools.islice(lines, 1000)):
            yield b"".join(map(self._whole.spliced, group))


class _Prober:
    """Trial jobs into a scratch table of the batch's own, which goes with the search."""

    def __init__(self, client: bigquery.Client, batch: Batch, reader: BatchReader, options: LoadOptions) -> None:
        self._client = client
        self._reader = reader
        self._options = options
        messages = bigquery.TableReference.from_string(batch.table_id)
        dataset = messages.dataset_id.removesuffix("_raw") + "_ops"
        self._table_id = f"{messages.project}.{dataset}.probe_{batch.batch_id}"
        self._prefix = f"pulse_probe_{batch.batch_id}"

    def __enter__(self) -> None:
        """Nothing to prepare: the first job makes the table."""

    def __exit__(self, *_: object) -> None:
        self._client.delete_table(self._table_id, not_found_ok=True)

    def probe(self, first: int, end: int) -> Refusal | None:
        """Load a range; None when BigQuery takes it."""
        config = job_config({"batch": self._prefix})
        config.create_disposition = bigquery.CreateDisposition.CREATE_IF_NEEDED
        config.write_disposition = bigquery.WriteDisposition.WRITE_TRUNCATE
        # Every probe is a new question: nothing of an earlier one is adopted.
        job_id = f"{self._prefix}_{secrets.token_hex(8)}"
        job = submitted(
            self._client,
            job_id,
            table_id=self._table_id,
            config=config,
            reader=_Part(self._reader, first, end),
            options=self._options,
        )
        try:
            finished(self._client, job, self._options)
        except LoadFailed as error:
            if error.reaction is not Reaction.BAD_LINES:
                raise
            log.info("lines %d to %d of the batch are refused: %s", first, end - 1, error.messages[0])
            return Refusal(error.messages)
        return None

    def line_of_position(self, first: int, end: int, messages: Sequence[str]) -> int | None:
        """The line that BigQuery's words point to, within a range that was uploaded."""
        text = " ".join(messages)
        numbered = _LINE.search(text)
        if numbered is not None:
            return first + int(numbered[1]) - 2
        position = _POSITION.search(text)
        if position is None:
            return None
        offset = int(position[1])
        for index, line in enumerate(itertools.islice(self._reader.lines(), first, end), first):
            offset -= len(self._reader.spliced(line))
            if offset < 0:
                return index
        return None
