"""Where the programs and the data of one installation are. All paths are absolute."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

#: A Unix socket's address holds 108 bytes on Linux, 104 on macOS; supervisor first binds a name with its pid appended.
_SOCKET_PATH_MAX = 90


@dataclass(frozen=True)
class Installation:
    """The repository and one home (PULSE_HOME): several homes may run side by side on different ports."""

    home: Path
    repository: Path = REPOSITORY

    @property
    def run_dir(self) -> Path:
        """Process manager, state of the running stack."""
        return self.home / "run"

    @property
    def log_dir(self) -> Path:
        """One rotated log file per part."""
        return self.home / "logs"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME: metadata database, task logs, secrets."""
        return self.home / "airflow"

    @property
    def dbt_dir(self) -> Path:
        """dbt's target folder and logs."""
        return self.home / "dbt"

    @property
    def dbt_project(self) -> Path:
        """The dbt project."""
        return self.repository / "include" / "dbt"

    @property
    def socket_path(self) -> Path:
        """The process manager's control socket; in the temporary folder when the home's path is too long."""
        path = self.run_dir / "supervisor.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH_MAX:
            return path
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"pulse-{os.getuid()}-{digest}" / "supervisor.sock"

    def executable(self, environment: str, name: str) -> str:
        """A program of one of the three environments, for example `executable("airflow", "dbt")`."""
        return str(self.repository / ".venvs" / environment / "bin" / name)

    def log_path(self, part: str) -> Path:
        """Log file of a part or preparation."""
        return self.log_dir / f"{part}.log"

    def create_folders(self) -> None:
        """Create what the stack writes to; private to the user, because logs and state hold no less than the data."""
        for folder in (self.home, self.run_dir, self.log_dir, self.airflow_home, self.dbt_dir, self.socket_path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.socket_path.parent.stat().st_uid != os.getuid():
            raise PermissionError(f"{self.socket_path.parent} belongs to another user: choose a shorter PULSE_HOME")
