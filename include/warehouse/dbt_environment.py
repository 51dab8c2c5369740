"""What dbt is told about the warehouse: the one owner of the `DBT_PULSE_*` variables that the dbt project reads.

`python -m include.warehouse.dbt_environment` prints them as shell exports, for running dbt by hand.
(They do not begin with PULSE_ because `include.config` refuses variables of that prefix it does not know.)
"""

import shlex
import sys

from include.config import WarehouseConfig, load


def dbt_environment(config: WarehouseConfig) -> dict[str, str]:
    """Environment variables for any dbt command of this project. The window's own come from `Window.to_environment`.

    DBT_PULSE_TARGET is `emulator` or `bigquery`; DBT_PULSE_ENDPOINT is empty on BigQuery.
    """
    datasets = config.datasets()
    return {
        "DBT_PULSE_TARGET": "emulator" if config.warehouse_url else "bigquery",
        "DBT_PULSE_ENDPOINT": config.warehouse_url,
        "DBT_PULSE_PROJECT": config.project,
        "DBT_PULSE_LOCATION": config.location,
        "DBT_PULSE_RAW_DATASET": datasets.raw,
        "DBT_PULSE_OPS_DATASET": datasets.ops,
        "DBT_PULSE_STAGING_DATASET": datasets.staging,
        "DBT_PULSE_MARTS_DATASET": datasets.marts,
    }


if __name__ == "__main__":
    for name, value in dbt_environment(load(WarehouseConfig)).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
