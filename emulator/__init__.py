"""The local warehouse: BigQuery's REST API on this machine, by the package local-bigquery and our named fixes to it."""
