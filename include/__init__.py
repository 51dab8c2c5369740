"""The Airflow-free library of the product."""
