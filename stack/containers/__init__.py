"""What the containers of docker-compose.yaml do beyond running a program: settings, secrets, preparation, health.

`preflight` runs first and once, `initialization` prepares tables and databases, `heartbeat` is the health check of
Airflow's processes, `airflow_config` writes airflow.cfg when the image is built, `login` shows the login.
"""
