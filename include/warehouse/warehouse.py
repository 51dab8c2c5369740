"""The warehouse as the steps of the pipeline see it: configuration, client, ledger, dead letters, drift."""

from dataclasses import dataclass
from typing import Self

from google.cloud import bigquery

from include.config import WarehouseConfig
from include.warehouse import tables
from include.warehouse.client import connect
from include.warehouse.dead_letters import DeadLetters
from include.warehouse.drift import DriftLog
from include.warehouse.ledger import Ledger
from include.warehouse.statements import Statements


@dataclass(frozen=True)
class Warehouse:
    """One connection and what belongs to it."""

    config: WarehouseConfig
    client: bigquery.Client
    ledger: Ledger
    dead_letters: DeadLetters
    drift: DriftLog
    statements: Statements

    @classmethod
    def connect(cls, config: WarehouseConfig) -> Self:
        """Opens no connection yet. Raises what `client.connect` raises."""
        client = connect(config)
        statements = Statements(client, config)
        return cls(config, client, Ledger(statements), DeadLetters(statements), DriftLog(statements), statements)

    @property
    def messages_id(self) -> str:
        """Full id of the table that batches are loaded into."""
        return tables.full_id(self.config, "raw", "messages")

    def prepare(self) -> list[str]:
        """Create or complete datasets, tables and views; the ids of what was changed. Raises SchemaMismatch."""
        return tables.ensure(self.client, self.config)
