"""Primitive assets: LIBERO's physics to the last bit, one build for all processes, repaired when damaged."""

import hashlib
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from core.types import Start, StateSource, TaskId
from envs.primitives import build, primitive_assets
from envs.suites import Task, suite_tasks, task

SCENES = [
    TaskId(suite=suite, index=index)
    for suite, index in [
        ("libero_spatial", 4),
        ("libero_object", 2),
        ("libero_goal", 0),
        ("libero_10", 0),
        ("libero_10", 2),
        ("libero_10", 3),
        ("libero_10", 4),
        ("libero_10", 5),
        ("libero_10", 9),
    ]
]
"""One task of every room, and between them every object and fixture of the four suites."""

MAX_FILE_BYTES = 100_000
MAX_SCENE_TRIANGLES = 6_000
"""Of everything that is not the robot; LIBERO's own have 40 to 140 thousand."""


@pytest.fixture(scope="module", params=SCENES, ids=str)
def scene(request: pytest.FixtureRequest) -> Task:
    """A fixture, not a parameter of each test: so a scene's tests run together and share what is built."""
    return task(request.param)


@pytest.fixture(scope="module")
def primitives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("primitives") / "assets"
    build(folder)
    return folder


def test_two_builds_are_equal_to_the_byte(primitives: Path, tmp_path: Path) -> None:
    build(tmp_path / "again")
    assert _contents(tmp_path / "again") == _contents(primitives)


def test_every_file_is_small(primitives: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in primitives.rglob("*") if path.is_file()}
    assert max(sizes.values()) < MAX_FILE_BYTES, max(sizes, key=lambda name: sizes[name])


def test_it_has_every_description_that_libero_has(primitives: Path, original_assets: Path) -> None:
    wanted = {str(path.relative_to(original_assets)) for path in original_assets.rglob("*.xml")}
    made = {str(path.relative_to(primitives)) for path in primitives.rglob("*.xml")}
    assert made == wanted


def test_the_cache_builds_once_and_repairs_what_was_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLARL_CACHE", str(tmp_path))
    folder = primitive_assets()
    whole = _contents(folder)
    victim = folder / "scenes" / "libero_floor_base_style.xml"
    made_at = victim.stat().st_mtime_ns
    assert primitive_assets() == folder
    assert victim.stat().st_mtime_ns == made_at
    victim.write_text("<mujoco")
    assert _contents(primitive_assets()) == whole
    victim.unlink()
    assert _contents(primitive_assets()) == whole
    (folder / "manifest.txt").write_text("{}")
    assert _contents(primitive_assets()) == whole
    shutil.rmtree(folder)
    assert _contents(primitive_assets()) == whole
    assert list(folder.parent.iterdir()) == [folder]


def test_many_processes_may_ask_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLARL_CACHE", str(tmp_path))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=context) as executor:
        answers = [executor.submit(_digest_of_the_cache) for _ in range(8)]
        digests = {answer.result(timeout=120) for answer in answers}
    assert digests == {_digest_of_the_cache()}
    assert len(list((tmp_path / "assets").iterdir())) == 1


def test_the_physics_is_libero_s(primitives: Path, original_assets: Path, scene: Task) -> None:
    ours, theirs = (_built(scene, folder) for folder in (primitives, original_assets))
    _assert_same_physics(ours.model, theirs.model)


def test_published_states_settle_as_with_libero_s_assets(
    primitives: Path, original_assets: Path, scene: Task
) -> None:
    ours, theirs = (_settled(scene, folder) for folder in (primitives, original_assets))
    np.testing.assert_array_equal(ours, theirs)


def test_a_scene_is_cheap_to_draw(primitives: Path, scene: Task) -> None:
    assert 200 < _scene_triangles(_built(scene, primitives).model) < MAX_SCENE_TRIANGLES


@pytest.mark.slow
@pytest.mark.parametrize(
    "suite", ["libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90"]
)
def test_every_task_of_the_suite_is_built_and_settles(primitives: Path, suite: str) -> None:
    for one in suite_tasks(suite):
        state = _settled(one, primitives)
        assert np.isfinite(state).all(), one.name
        heights = _free_heights(_built(one, primitives).model, state)
        assert min(heights) > -0.1, one.name
        assert max(heights) < 2.0, one.name


def _built(one: Task, folder: Path) -> Any:
    from envs.environment import LiberoEnv

    return LiberoEnv(one, assets=folder, render=None)


def _settled(one: Task, folder: Path) -> np.ndarray:
    """The state one second after the first published one."""
    env = _built(one, folder)
    env.reset(Start(task=one.id, source=StateSource.PUBLISHED, number=0))
    for _ in range(20):
        env.step(np.array([0.0] * 6 + [-1.0]))
    return env.state()


def _assert_same_physics(ours: mujoco.MjModel, theirs: mujoco.MjModel) -> None:
    assert ours.nq == theirs.nq
    assert ours.nv == theirs.nv
    for kind, count in [
        ("joint", ours.njnt),
        ("body", ours.nbody),
        ("site", ours.nsite),
        ("camera", ours.ncam),
    ]:
        names = [[getattr(model, kind)(k).name for k in range(count)] for model in (ours, theirs)]
        assert names[0] == names[1], kind
    for field in ("body_mass", "body_inertia", "body_ipos", "body_pos", "body_quat", "jnt_type", "jnt_range"):
        np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field), err_msg=field)
    for field in ("dof_damping", "site_pos", "site_quat", "site_size", "light_pos", "light_diffuse"):
        np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field), err_msg=field)
    assert _touchable(ours) == _touchable(theirs)


def _touchable(model: mujoco.MjModel) -> list[list[Any]]:
    """Every geom that can collide, in order, with all that a contact depends on."""
    fields = (
        "type",
        "bodyid",
        "pos",
        "quat",
        "friction",
        "solref",
        "solimp",
        "contype",
        "conaffinity",
        "condim",
    )
    geoms = [geom for geom in range(model.ngeom) if model.geom_contype[geom] or model.geom_conaffinity[geom]]
    rows = [
        [getattr(model, f"geom_{field}")[geom].tolist() for field in (*fields, "margin")] for geom in geoms
    ]
    # A plane's size is that of its picture.
    is_plane = [model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE for geom in geoms]
    sizes = [
        None if plane else model.geom_size[geom].tolist() for geom, plane in zip(geoms, is_plane, strict=True)
    ]
    return [[*row, size] for row, size in zip(rows, sizes, strict=True)]


def _scene_triangles(model: mujoco.MjModel) -> int:
    meshes = [
        model.geom_dataid[geom]
        for geom in range(model.ngeom)
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH
        and not model.body(model.geom_bodyid[geom]).name.startswith(("robot", "gripper", "mount"))
    ]
    return int(model.mesh_facenum[meshes].sum())


def _free_heights(model: mujoco.MjModel, state: np.ndarray) -> list[float]:
    free = [joint for joint in range(model.njnt) if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE]
    return [float(state[1 + model.jnt_qposadr[joint] + 2]) for joint in free]


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _digest_of_the_cache() -> str:
    contents = _contents(primitive_assets())
    return hashlib.sha256(
        b"".join(name.encode() + data for name, data in sorted(contents.items()))
    ).hexdigest()
