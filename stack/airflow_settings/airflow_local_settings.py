"""Imports what the tasks need once, in the processes that fork them.

Airflow imports a module of this name when it starts. The scheduler's workers and the dag-processor's parsers are forks,
so a library imported here is already in the memory of every task, which otherwise spends seconds importing it.
Measured in docs/dag-timing.md.
"""

import sys

if {"scheduler", "dag-processor"} & set(sys.argv):
    import cosmos
    import cosmos.operators.local

if "scheduler" in sys.argv:
    import dbt.adapters.bigquery.impl
    import dbt.cli.main
    import google.cloud.bigquery
