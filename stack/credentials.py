"""Generated once per home, kept for its life: the UI's password and the keys the Airflow processes share."""

import base64
import os
import secrets
from pathlib import Path

import msgspec

ADMIN_USER = "admin"


class Credentials(msgspec.Struct, frozen=True):
    """Keys of one Airflow.

    A changed Fernet key would make stored connections unreadable, a changed JWT secret ends every login and running
    task.
    """

    fernet_key: str
    jwt_secret: str
    api_secret: str


def keys(airflow_home: Path) -> Credentials:
    """Read `secrets.json`, or create it, readable by its owner only."""
    path = airflow_home / "secrets.json"
    fresh = Credentials(
        fernet_key=base64.urlsafe_b64encode(os.urandom(32)).decode(),
        jwt_secret=secrets.token_urlsafe(64),
        api_secret=secrets.token_urlsafe(48),
    )
    create_private(path, msgspec.json.encode(fresh))
    return msgspec.json.decode(path.read_bytes(), type=Credentials)


def password_path(airflow_home: Path) -> Path:
    """The file SimpleAuthManager reads: a JSON object of user → password, in clear text."""
    return airflow_home / "passwords.json"


def password(airflow_home: Path) -> str:
    """The admin's password, generated at the first call. Editing the file changes it."""
    path = password_path(airflow_home)
    create_private(path, msgspec.json.encode({ADMIN_USER: secrets.token_urlsafe(12)}))
    return msgspec.json.decode(path.read_bytes(), type=dict[str, str])[ADMIN_USER]


def create_private(path: Path, content: bytes) -> None:
    """Create a file with mode 0600 unless it exists: linked into place whole, so that no reader sees half of it."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.link(temporary, path)
    except FileExistsError:  # another process was first: its secret counts
        pass
    finally:
        temporary.unlink(missing_ok=True)
