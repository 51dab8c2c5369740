"""What we change in local-bigquery 0.3.2: one module per fault, each with BigQuery's behaviour and when to remove it.

docs/emulator.md lists them beside the faults that we avoid instead.
"""

from emulator.fixes import (
    catalog_lookups,
    commit_tags,
    create_table_as,
    gzip_uploads,
    interrupted_jobs,
    partition_filter,
    repeated_job_ids,
    result_retention,
    row_counts,
    set_from_struct,
    statement_order,
    table_schema,
    unknown_fields,
    upkeep,
)
from emulator.fixes.upstream import check_version

#: In the order they are put in place. Jobs are resolved by the tags of their commits before upkeep may remove those.
FIXES = (
    catalog_lookups,
    create_table_as,
    result_retention,
    commit_tags,
    statement_order,
    repeated_job_ids,
    table_schema,
    row_counts,
    unknown_fields,
    gzip_uploads,
    set_from_struct,
    partition_filter,
    interrupted_jobs,
    upkeep,
)


def apply() -> None:
    """Put all fixes in place. Raises UpstreamChanged when local-bigquery is not what they were written for."""
    check_version()
    for fix in FIXES:
        fix.apply()
