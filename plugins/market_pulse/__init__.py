"""Airflow bindings of the pipeline: what touches Airflow or Cosmos, and nothing else."""
