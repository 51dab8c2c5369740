"""How the dbt project runs, and how Cosmos renders it.

One task runs one `dbt build`, models and tests. Beside it stands the dbt tree, a task for each model, which shows what
dbt made of that model. `docs/dag-timing.md` has the measurements against other arrangements.
"""

from pathlib import Path
from typing import Any, NamedTuple

from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import DbtResourceType, ExecutionMode, LoadMode, TestBehavior

from include.config import PipelineConfig, WarehouseConfig, load
from include.warehouse.dbt_environment import dbt_environment
from include.warehouse.window import WINDOW_VARIABLES
from market_pulse.dbt_build import DbtBuild
from market_pulse.dbt_model import DbtModel

DBT_PROJECT = Path(__file__).resolve().parents[2] / "include" / "dbt"
#: Of tests that read whole tables: market_pulse_maintenance runs them.
MAINTENANCE_TAG = "maintenance"

_GROUP = "dbt"
_BUILD = "dbt_build"
#: Run-time values reach dbt through the environment: a changed `--vars` would re-parse the project in every run.
_WINDOW = {
    name: "{{ (ti.xcom_pull(task_ids='open_window') or {}).get('environment', {}).get('" + name + "', '') }}"
    for name in WINDOW_VARIABLES
}


class Transformation(NamedTuple):
    """The rendered project. `build` does the work and is in the group; the group's other tasks follow it."""

    build: DbtBuild
    group: DbtTaskGroup


def transformation() -> Transformation:
    """The dbt project as tasks; reads the manifest that `dbt parse` wrote before Airflow started.

    Raises FileNotFoundError (an import error in the Airflow UI) when there is no manifest.
    """
    manifest = load(PipelineConfig).resolved_dbt_manifest()
    if not manifest.is_file():
        raise FileNotFoundError(
            f"{manifest}: no dbt manifest. `make up` writes it; by hand: dbt parse, then PULSE_DBT_MANIFEST"
        )
    environment = dbt_environment(load(WarehouseConfig))
    project = ProjectConfig(dbt_project_path=DBT_PROJECT, manifest_path=manifest, install_dbt_deps=False)
    # A plain path instead of Airflow's ObjectStoragePath, whose first use in a process imports every provider with a
    # file system and every plugin: 1.2 s in each parser and each task.
    project.manifest_path = manifest
    group = DbtTaskGroup(
        group_id=_GROUP,
        project_config=project,
        profile_config=dbt_profile(environment),
        execution_config=ExecutionConfig(execution_mode=ExecutionMode.LOCAL),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            group_nodes_by_folder=True,
            test_behavior=TestBehavior.NONE,
            node_converters=dict.fromkeys((DbtResourceType.MODEL, DbtResourceType.SNAPSHOT), _model),
        ),
    )
    build = DbtBuild(
        task_id=_BUILD,
        task_group=group,
        project=DBT_PROJECT,
        manifest=manifest,
        excluded_tag=MAINTENANCE_TAG,
        environment=environment | _WINDOW,
        priority_weight=100,
    )
    return Transformation(build, group)


def dbt_profile(environment: dict[str, str]) -> ProfileConfig:
    """The project's own profile, for the warehouse of `dbt_environment`."""
    return ProfileConfig(
        profile_name="market_pulse",
        target_name=environment["DBT_PULSE_TARGET"],
        profiles_yml_filepath=DBT_PROJECT / "profiles.yml",
    )


def _model(*, dag: Any, task_group: Any, node: Any, **_: Any) -> DbtModel:
    """Cosmos asks for the task of a node."""
    return DbtModel(
        task_id=node.name,
        dag=dag,
        task_group=task_group,
        unique_id=node.unique_id,
        build_task_id=f"{_GROUP}.{_BUILD}",
    )
