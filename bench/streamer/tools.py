"""The two C programs: built where they are needed, in the folder of a run."""

import shutil
import subprocess
from pathlib import Path

_SOURCES = Path(__file__).parent


class NoCompiler(Exception):
    """There is no C compiler: neither the generator nor the receiver in C can be built."""


def build(name: str, folder: Path) -> Path:
    """Compile `name`.c; the program. Raises NoCompiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("no C compiler (cc, gcc or clang) on PATH; on Debian: apt install gcc libc6-dev")
    program = folder / name
    subprocess.run([compiler, "-O2", "-o", program, _SOURCES / f"{name}.c"], check=True)
    return program
