"""A small scheduler: the steps in the DAG's order, each task a process, with retries as Airflow has them."""

import json
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from chaos import safeguards, task
from chaos.parts import REPOSITORY
from chaos.points import ARCHIVE, CLOSE, DBT, DBT_POINTS, LOAD, POINTS, SEAL, STEPS, WINDOW, Point
from chaos.tally import Tally
from chaos.task import LOAD_BATCH, Order
from include.config import WarehouseConfig, load
from include.warehouse.dbt_environment import dbt_environment

RETRIES = 3
_RETRY_SECONDS = 0.2
_TASK_SECONDS = 300.0
_DBT_SECONDS = 600.0
_DBT = REPOSITORY / ".venvs" / "airflow" / "bin" / "dbt"
_ALL = (*POINTS, *DBT_POINTS)
#: Being told to die so often, and not coming there, counts as having died.
_TOLD = 4


class TaskFailed(Exception):
    """A task is out of retries, or failed for good: the run ends, the next one goes on."""


class Attack(NamedTuple):
    """How tasks are treated. `chance` is that of a kill at one of the step's `points`, where there are `enough`."""

    chance: float
    points: Sequence[Point] = _ALL
    enough: int = 1
    disk_full: float = 0.0
    twins: float = 0.0


PEACE = Attack(0.0)


class Scheduler:
    """Does runs, one after the other."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], tally: Tally, *, seed: int, without: str | None = None
    ) -> None:
        self.attack = PEACE
        self.failed_runs = 0
        self._folder = folder
        self._settings = settings
        self._tally = tally
        self._chance = Random(f"{seed} scheduler")
        self._without = without
        self._armed: Counter[str] = Counter()
        self._tasks = 0
        self._runs = 0
        self._dbt_project = folder / "dbt"

    def run(self, *, transform: bool) -> bool:
        """One run of the DAG; whether it went well. Without `transform` it ends after the load."""
        self._runs += 1
        run_id = f"chaos-{self._runs}"
        try:
            self._task(SEAL, run_id)
            for batch_id in (self._task(LOAD, run_id) or {}).get("surplus", []):
                self._task(LOAD_BATCH, run_id, batch_id)
            if transform:
                self._transform(run_id)
                self._task(ARCHIVE, run_id)
        except TaskFailed:
            self.failed_runs += 1
            return False
        return True

    def _transform(self, run_id: str) -> None:
        window = self._task(WINDOW, run_id)
        if window is None:
            return
        try:
            self._dbt(window["environment"])
        except TaskFailed:
            if self._without != safeguards.CLOSE_AFTER_SUCCESS:
                raise
        self._task(CLOSE, run_id, window)

    # ------------------------------------------------------------------ tasks

    def _task(self, step: str, run_id: str, argument: Any = None) -> Any:
        """The task's outcome. Raises TaskFailed."""
        for _ in range(RETRIES + 1):
            order = self._order(step, run_id, argument)
            process = task.start(order)
            twin = self._twin(order)
            outcome = self._outcome(order, process)
            if twin is not None:
                self._outcome(*twin)
            if outcome is not None and "value" in outcome:
                return outcome["value"]
            if outcome is not None and outcome["is_final"]:
                break
            time.sleep(_RETRY_SECONDS)
        raise TaskFailed(f"{step} of {run_id}")

    def _order(self, step: str, run_id: str, argument: Any) -> Order:
        self._tasks += 1
        order = Order(
            step=step,
            run_id=run_id,
            settings=self._settings,
            outcome=self._folder / f"task-{self._tasks}.json",
            log=self._folder / "tasks.log",
            argument=argument,
            without=self._without,
        )
        if self._chance.random() < self.attack.disk_full and step in (SEAL, LOAD, ARCHIVE):
            self._tally.fault(f"task {step}", "disk full")
            return order._replace(file_bytes=self._chance.choice([0, 500]))
        point = self._point(LOAD if step == LOAD_BATCH else step)
        if point is None:
            return order
        return order._replace(point=point.name, call=self._chance.randint(1, point.most))

    def _point(self, step: str) -> Point | None:
        """Where the next task of a step dies, if it does: where the fewest have died or were told to die."""
        points = [point for point in self.attack.points if point.step == step]
        # A step with few places to die at is not worth as many tries.
        if self._chance.random() >= self.attack.chance * min(1.0, len(points) / self.attack.enough):
            return None
        self._chance.shuffle(points)
        died = Counter({point: times for (_, point), times in self._tally.kills.items()})
        point = min(points, key=lambda point: died[point.name] + self._armed[point.name] / _TOLD)
        self._armed[point.name] += 1
        return point

    def _twin(self, order: Order) -> tuple[Order, BaseProcess] | None:
        """The same task at the same time, as when a scheduler has lost sight of one that still runs."""
        if self._chance.random() >= self.attack.twins or order.step not in (SEAL, LOAD, ARCHIVE):
            return None
        twin = order._replace(outcome=order.outcome.with_suffix(".twin.json"), point=None, file_bytes=None)
        self._tally.fault(f"task {order.step}", "done twice at once")
        return twin, task.start(twin)

    def _outcome(self, order: Order, process: BaseProcess) -> dict[str, Any] | None:
        """What a task left; None when it died. Raises TaskFailed when it does not end."""
        process.join(_TASK_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TaskFailed(f"{order.step} of {order.run_id} hangs: ended after {_TASK_SECONDS:g} s")
        if process.exitcode == -signal.SIGKILL and order.point is not None:
            self._tally.kill(f"task {order.step}", order.point)
        if not order.outcome.exists():
            return None
        outcome: dict[str, Any] = json.loads(order.outcome.read_text("utf-8"))
        order.outcome.unlink()
        return outcome

    # ------------------------------------------------------------------ dbt

    def _dbt(self, window: Mapping[str, str]) -> None:
        """Build what fct_trades needs, and test it. Raises TaskFailed."""
        for _ in range(RETRIES + 1):
            point = self._point(DBT)
            if self._build(window, point):
                return
            if self._without == safeguards.CLOSE_AFTER_SUCCESS:
                break
        raise TaskFailed("dbt")

    def _build(self, window: Mapping[str, str], point: Point | None) -> bool:
        project = str(REPOSITORY / "include" / "dbt" if not self._dbt_project.exists() else self._dbt_project)
        command = [str(_DBT), "build", "--project-dir", project, "--profiles-dir", project, "--no-use-colors"]
        command += ["--select", "+fct_trades", "--exclude", "tag:maintenance"]
        command += ["--indirect-selection", "cautious"]  # no test of a model that is not built
        command += ["--target-path", str(self._folder / "dbt-target"), "--log-path", str(self._folder / "dbt-logs")]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self._folder)}
        environment |= {**dbt_environment(load(WarehouseConfig, self._settings)), **window}
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        watchdog = threading.Timer(_DBT_SECONDS, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            with process.stdout, (self._folder / "dbt.log").open("a", encoding="utf-8") as log:
                for line in process.stdout:
                    log.write(line)
                    if point is not None and re.search(point.target, line):
                        # Anywhere in the statement that begins or has ended here.
                        time.sleep(self._chance.uniform(0, 0.5))
                        process.kill()
            status = process.wait()
        finally:
            watchdog.cancel()
            process.kill()
        if status == -signal.SIGKILL and point is not None:
            self._tally.kill(DBT, point.name)
        return status == 0


assert all(point.step in STEPS for point in _ALL)
