"""scripts/bootstrap, in a repository of the test's own with a fake uv: which Python, which environments, when."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bootstrap"
TOOLS = ("sh", "dirname", "grep", "cat", "cmp", "mkdir", "mv", "rm", "date", "ln")
UV = """#!/bin/sh
[ "$1" = sync ] || exit 1
echo "$(basename "$UV_PROJECT_ENVIRONMENT") $*" >> "$(dirname "$0")/calls"
[ -e "$(dirname "$0")/broken" ] && exit 1
mkdir -p "$UV_PROJECT_ENVIRONMENT/bin"
ln -sf "{python}" "$UV_PROJECT_ENVIRONMENT/bin/python"
"""

WITH_TEST_TOOLS = [
    "core: core test lint browser analysis picows",
    "airflow: airflow test sql",
    "warehouse: warehouse test",
]


class Checkout:
    """A repository with nothing but the script and a lock file, and a PATH with nothing but what it needs."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        self.path = folder / "path"
        self.home = folder / "home"
        for made in (self.root / "scripts", self.path, self.home):
            made.mkdir(parents=True)
        self.script = self.root / "scripts" / "bootstrap"
        shutil.copy(SCRIPT, self.script)
        (self.root / "uv.lock").write_text("version = 1\n")
        for tool in (*TOOLS, "basename"):
            found = shutil.which(tool)
            assert found, tool
            (self.path / tool).symlink_to(found)
        self.calls_file = self.root / ".venvs" / "uv" / "calls"

    def put(self, where: Path, text: str) -> None:
        """An executable script."""
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)
        where.chmod(0o755)

    def put_uv(self) -> None:
        """The fake uv, as if it had been installed."""
        version = next(line for line in SCRIPT.read_text().splitlines() if line.startswith("UV_VERSION=")).split("=")[1]
        self.put(self.root / ".venvs" / "uv" / f"uv-{version}", UV.format(python=sys.executable))

    def put_python(self, where: Path) -> None:
        """The real Python 3.13 under another name."""
        self.put(where, f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": str(self.path), "HOME": str(self.home)}

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        command = ["/bin/sh", str(self.script), *arguments]
        return subprocess.run(
            command, env=self.environ | variables, capture_output=True, text=True, check=False, timeout=60
        )

    def calls(self) -> list[str]:
        """Environment and groups of each call of uv since the last look."""
        if not self.calls_file.exists():
            return []
        lines = self.calls_file.read_text().splitlines()
        self.calls_file.unlink()
        return [f"{line.split()[0]}: {' '.join(_groups(line.split()))}" for line in lines]


def _groups(words: list[str]) -> list[str]:
    return [words[index + 1] for index, word in enumerate(words) if word == "--only-group"]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """An empty checkout, without uv and without Python."""
    return Checkout(tmp_path)


@pytest.fixture
def ready(checkout: Checkout) -> Checkout:
    """A checkout with uv and a Python on PATH."""
    checkout.put_uv()
    checkout.put_python(checkout.path / "python3.13")
    return checkout


def test_python_on_the_path_is_found(checkout: Checkout) -> None:
    """The interpreter behind the name is what counts."""
    checkout.put_python(checkout.path / "python3.13")
    done = checkout.run("--find-python")
    assert Path(done.stdout.strip()).resolve() == Path(sys.executable).resolve()


def test_a_shim_that_does_not_run_is_passed_over(checkout: Checkout) -> None:
    """Version managers put names on PATH that fail unless their version is selected."""
    for name in ("python3.13", "python3"):
        checkout.put(checkout.path / name, "#!/bin/sh\necho 'command not found' >&2; exit 127\n")
    checkout.put_python(checkout.home / ".pyenv" / "versions" / "3.13.0" / "bin" / "python")
    assert checkout.run("--find-python").returncode == 0


def test_another_version_is_not_taken(checkout: Checkout) -> None:
    """A Python that says it is not 3.13 is no 3.13, whatever its name."""
    checkout.put(checkout.path / "python3.13", "#!/bin/sh\nexit 1\n")
    assert checkout.run("--find-python").returncode == 1


def test_without_any_python_it_says_what_to_do(checkout: Checkout) -> None:
    """The message names the version and ways to get it."""
    done = checkout.run("run")
    assert done.returncode == 1
    assert "Install Python 3.13" in done.stderr


def test_the_three_environments_are_installed_once(ready: Checkout) -> None:
    """A second call finds them current and does not call uv."""
    assert ready.run("run").returncode == 0
    assert ready.calls() == ["core: core", "airflow: airflow", "warehouse: warehouse"]
    again = ready.run("run")
    assert (again.returncode, again.stderr, ready.calls()) == (0, "", [])


def test_the_tests_tools_are_added_and_stay(ready: Checkout) -> None:
    """`test` adds groups; `run` afterwards does not take them away."""
    ready.run("run")
    ready.calls()
    assert ready.run("test").returncode == 0
    assert ready.calls() == WITH_TEST_TOOLS
    assert ready.run("run").returncode == 0
    assert ready.calls() == []


def test_the_other_transport_is_installed_where_it_is_chosen(ready: Checkout) -> None:
    """`run` with PULSE_TRANSPORT=picows adds the package, and a later `run` without keeps it."""
    assert ready.run("run", PULSE_TRANSPORT="picows").returncode == 0
    assert ready.calls()[0] == "core: core picows"
    assert ready.run("run").returncode == 0
    assert ready.calls() == []


def test_benchmarks_have_an_environment_of_their_own(ready: Checkout) -> None:
    """`bench` installs the peers apart from the product, and nothing of Airflow."""
    assert ready.run("bench").returncode == 0
    assert ready.calls() == ["core: core picows", "bench: bench"]


def test_a_changed_lock_is_installed_with_the_same_groups(ready: Checkout) -> None:
    """Also by `run`, after `test`."""
    ready.run("test")
    ready.calls()
    (ready.root / "uv.lock").write_text("version = 2\n")
    assert ready.run("run").returncode == 0
    assert ready.calls() == WITH_TEST_TOOLS


def test_an_environment_whose_python_is_gone_is_made_again(ready: Checkout) -> None:
    """A stamp alone proves nothing."""
    ready.run("run")
    ready.calls()
    (ready.root / ".venvs" / "airflow" / "bin" / "python").unlink()
    assert ready.run("run").returncode == 0
    assert ready.calls() == ["airflow: airflow"]


def test_a_failed_installation_is_told_and_tried_again(ready: Checkout) -> None:
    """No stamp is written for what is not there."""
    broken = ready.root / ".venvs" / "uv" / "broken"
    broken.touch()
    done = ready.run("run")
    assert done.returncode == 1
    assert ".venvs/core" in done.stderr
    broken.unlink()
    assert ready.run("run").returncode == 0


def test_concurrent_calls_wait_for_each_other(ready: Checkout) -> None:
    """The second says so, and goes on when the first has ended."""
    with (ready.root / ".venvs" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["/bin/sh", str(ready.script), "run"]
        with subprocess.Popen(command, env=ready.environ, stderr=subprocess.PIPE, text=True) as waiting:
            assert waiting.stderr is not None
            assert "waiting" in waiting.stderr.readline()
            assert ready.calls() == []
            fcntl.flock(lock, fcntl.LOCK_UN)
            waiting.communicate(timeout=30)
            assert waiting.returncode == 0
    assert len(ready.calls()) == 3


def test_an_unknown_mode_is_refused(checkout: Checkout) -> None:
    """With the usage."""
    done = checkout.run("everything")
    assert (done.returncode, "usage" in done.stderr) == (2, True)
