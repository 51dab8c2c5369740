"""The kill points are real places of the product, and dying there is kill -9."""

import signal
import subprocess
import sys
from collections import Counter

import pytest

from chaos.parts import REPOSITORY
from chaos.points import DBT_POINTS, POINTS, STREAMER_POINTS, Point, owner_of, point_named


@pytest.mark.parametrize("point", [*POINTS, *STREAMER_POINTS], ids=lambda point: f"{point.step}: {point.name}")
def test_a_point_names_a_function_of_the_product(point: Point) -> None:
    """A function that was renamed would never be reached, and nobody would die there."""
    owner, name = owner_of(point.target)

    assert callable(getattr(owner, name))


def test_names_of_points_are_unique() -> None:
    """The table of kills counts by name."""
    names = Counter(point.name for point in (*POINTS, *STREAMER_POINTS, *DBT_POINTS))

    assert [name for name, count in names.items() if count > 1] == []


def test_a_process_dies_at_the_call_it_was_told() -> None:
    """Not before, and by a signal that nothing can catch."""
    program = (
        "from pathlib import Path; from chaos import points; from include.spool import durable\n"
        "points.arm(points.point_named('after a rename'), 2)\n"
        "for number in range(3):\n"
        "    print(number, flush=True); durable.make_dir(Path('.')); durable.rename_durable(Path('a'), Path('a'))\n"
    )
    assert point_named("after a rename").moment == "after"

    done = subprocess.run(
        [sys.executable, "-c", f"import os, tempfile; os.chdir(tempfile.mkdtemp()); open('a', 'w').close()\n{program}"],
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["0", "1"]), done.stderr
