"""The secrets of an installation in containers: made once, kept in volumes, each readable by those who need it."""

import base64
import os
import secrets
from pathlib import Path

from stack import credentials
from stack.containers import layout


def create_secrets() -> list[Path]:
    """Make what is missing; the files that were made. Every value is random: no installation has a default."""
    wanted = {
        layout.FERNET_KEY: base64.urlsafe_b64encode(os.urandom(32)).decode(),
        layout.JWT_SECRET: secrets.token_urlsafe(64),
        layout.API_SECRET: secrets.token_urlsafe(48),
        layout.POSTGRES_PASSWORD: secrets.token_urlsafe(32),
    }
    login = credentials.password_path(layout.SECRETS)
    missing = [path for path in (*wanted, login, layout.DATABASE_URL) if not path.exists()]
    for path, value in wanted.items():
        credentials.create_private(path, value.encode())
    credentials.password(layout.SECRETS)
    credentials.create_private(layout.DATABASE_URL, database_url().encode())
    os.chown(layout.POSTGRES_PASSWORD, -1, layout.POSTGRES_GROUP)
    layout.POSTGRES_PASSWORD.chmod(0o640)
    return missing


def database_url() -> str:
    """Address of Airflow's database, with its password."""
    password = layout.POSTGRES_PASSWORD.read_text("utf-8")
    return f"postgresql+psycopg2://{layout.DATABASE_USER}:{password}@{layout.DATABASE_HOST}/{layout.DATABASE_NAME}"
