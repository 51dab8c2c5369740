"""Datasets, tables and views, made and kept as `schemas/` describes them.

A table's fingerprint is stored as its label, and listing a dataset returns labels: when all is there `ensure` costs
one request a dataset, and a table is looked at only when its specification has changed.
"""

import logging
from collections.abc import Iterable

import msgspec
from google.api_core import exceptions
from google.cloud import bigquery

from include.config import WarehouseConfig
from include.warehouse.table_specs import TableSpec, load_specs

FINGERPRINT_LABEL = "fingerprint"
#: What of a table's layout BigQuery lets change; it refuses another partitioning column or type.
_LAYOUT = ("time_partitioning", "clustering_fields", "require_partition_filter")
_DAY_MS = 24 * 60 * 60 * 1000

log = logging.getLogger(__name__)


class SchemaMismatch(Exception):
    """A table exists whose columns contradict its specification. Nothing was changed: an operator has to decide."""


def ensure(client: bigquery.Client, config: WarehouseConfig) -> list[str]:
    """Create what is missing, add missing columns, and return the ids of what was changed (empty: all was there).

    Columns are only ever added, and columns the specification does not know are left alone. Raises SchemaMismatch
    where a column has another type, or where a REQUIRED one would have to be added to a table that may hold rows.
    """
    changed = []
    datasets = config.datasets()._asdict()
    specs = load_specs()
    for role, dataset_id in datasets.items():
        wanted = [spec for spec in specs if spec.dataset == role]
        found = _fingerprints(client, config, dataset_id)
        for spec in wanted:
            fingerprint = spec.fingerprint(config)
            if found.get(spec.table) != fingerprint:
                _make(client, config, spec, fingerprint, exists=spec.table in found)
                changed.append(full_id(config, spec.dataset, spec.table))
    if changed:
        log.info("created or changed: %s", ", ".join(changed))
    return changed


def full_id(config: WarehouseConfig, role: str, table: str) -> str:
    """`project.dataset.table` of a table by its dataset's role (raw, ops, staging, marts)."""
    return f"{config.project}.{config.datasets()._asdict()[role]}.{table}"


def load_schema(spec: TableSpec) -> list[bigquery.SchemaField]:
    """The columns of a specification as the client library wants them."""
    return [bigquery.SchemaField.from_api_repr(field) for field in msgspec.to_builtins(spec.schema)]


def _fingerprints(client: bigquery.Client, config: WarehouseConfig, dataset_id: str) -> dict[str, str]:
    """Table id → stored fingerprint, of all tables of a dataset, which is created if it is not there."""
    reference = bigquery.DatasetReference(config.project, dataset_id)
    try:
        return {item.table_id: item.labels.get(FINGERPRINT_LABEL, "") for item in client.list_tables(reference)}
    except exceptions.NotFound:
        dataset = bigquery.Dataset(reference)
        dataset.location = config.location
        client.create_dataset(dataset, exists_ok=True)
        return {}


def _make(client: bigquery.Client, config: WarehouseConfig, spec: TableSpec, fingerprint: str, *, exists: bool) -> None:
    if spec.view:
        _replace_view(client, config, spec, fingerprint)
    elif exists:
        _evolve(client, config, spec, fingerprint)
    else:
        client.create_table(_table(config, spec, fingerprint), exists_ok=True)


def _table(config: WarehouseConfig, spec: TableSpec, fingerprint: str) -> bigquery.Table:
    table = bigquery.Table(full_id(config, spec.dataset, spec.table), schema=load_schema(spec))
    table.description = spec.description
    table.labels = {FINGERPRINT_LABEL: fingerprint}
    table.clustering_fields = list(spec.clustering) or None
    table.require_partition_filter = spec.require_partition_filter or None
    table.time_partitioning = _partitioning(config, spec)
    return table


def _partitioning(config: WarehouseConfig, spec: TableSpec) -> bigquery.TimePartitioning | None:
    if spec.partitioning is None:
        return None
    return bigquery.TimePartitioning(
        type_=spec.partitioning.type,
        field=spec.partitioning.field,
        expiration_ms=spec.partitioning.expiration_days(config) * _DAY_MS,
    )


def _evolve(client: bigquery.Client, config: WarehouseConfig, spec: TableSpec, fingerprint: str) -> None:
    existing = client.get_table(full_id(config, spec.dataset, spec.table))
    table = _table(config, spec, fingerprint)
    table.schema = _merged(existing.schema, table.schema, path=existing.full_table_id)
    table.labels = {**existing.labels, **table.labels}
    client.update_table(table, ["schema", "description", "labels", *_LAYOUT])


def _merged(
    existing: Iterable[bigquery.SchemaField], wanted: Iterable[bigquery.SchemaField], *, path: str
) -> list[bigquery.SchemaField]:
    """The existing columns with the specification's descriptions, then the missing ones."""
    wanted_by_name = {field.name: field for field in wanted}
    merged = []
    for field in existing:
        specified = wanted_by_name.pop(field.name, None)
        merged.append(field if specified is None else _reconciled(field, specified, path=path))
    for field in wanted_by_name.values():
        if field.mode == "REQUIRED":
            raise SchemaMismatch(
                f"{path} has no column {field.name}, and a REQUIRED column cannot be added to an existing table. "
                f"Make it NULLABLE in include/warehouse/schemas/, or create the table anew"
            )
        merged.append(field)
    return merged


def _reconciled(field: bigquery.SchemaField, specified: bigquery.SchemaField, *, path: str) -> bigquery.SchemaField:
    if (field.field_type, field.mode) != (specified.field_type, specified.mode):
        raise SchemaMismatch(
            f"{path}: column {field.name} is {field.field_type} {field.mode}, include/warehouse/schemas/ says "
            f"{specified.field_type} {specified.mode}. Types are never changed in place: create the table anew or "
            f"correct the file"
        )
    api = specified.to_api_repr()
    if field.fields:
        nested = _merged(field.fields, specified.fields, path=f"{path}.{field.name}")
        api["fields"] = [inner.to_api_repr() for inner in nested]
    return bigquery.SchemaField.from_api_repr(api)


def _replace_view(client: bigquery.Client, config: WarehouseConfig, spec: TableSpec, fingerprint: str) -> None:
    """By DDL, which creates and replaces in one statement."""
    query = _fill(spec.view_query(), config)
    options = f"options(description = {_quoted(spec.description)}, labels = [('{FINGERPRINT_LABEL}', '{fingerprint}')])"
    client.query_and_wait(
        f"create or replace view `{full_id(config, spec.dataset, spec.table)}`\n{options}\nas\n{query}"
    )


def _fill(query: str, config: WarehouseConfig) -> str:
    for spec in load_specs():
        query = query.replace("{" + spec.table + "}", full_id(config, spec.dataset, spec.table))
    return query


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
