"""Fast pictures, thinner meshes and textures; several models drawn by one process."""

import subprocess
import sys

import mujoco
import numpy as np
import pytest

from core.config import RenderMode
from core.types import MAIN_CAMERA, WRIST_CAMERA
from envs.culling import out_of_view
from envs.decimation import distinct_triangles, merge_vertices, shrink_textures
from envs.environment import LiberoEnv
from envs.rendering import Renderer
from tests.envs.conftest import SIZE, start


def test_fast_pictures_look_like_exact_ones(env: LiberoEnv) -> None:
    """What differs is the smoothing of edges, shadows and reflections: a few grey levels on average."""
    fast, _ = env.reset(start(env))
    exact = Renderer(env.model, RenderMode.EXACT, SIZE).picture(env._shown, MAIN_CAMERA)
    main, _ = np.split(fast["frame"], 2, axis=1)
    difference = np.abs(main.astype(int) - exact.astype(int))
    assert 0 < difference.mean() < 12
    correlation = np.corrcoef(main.ravel(), exact.ravel())[0, 1]
    assert correlation > 0.9


def test_renderers_of_one_process_do_not_disturb_each_other(env: LiberoEnv) -> None:
    env.reset(start(env))
    first = env.frame()
    others = [Renderer(env.model, RenderMode.EXACT, 48), Renderer(env.model, RenderMode.FAST, 32)]
    pictures = [other.picture(env._shown, "agentview") for other in others]
    np.testing.assert_array_equal(env.frame(), first)
    for other, picture in zip(others, pictures, strict=True):
        np.testing.assert_array_equal(other.picture(env._shown, "agentview"), picture)
    del others, other
    np.testing.assert_array_equal(env.frame(), first)


@pytest.mark.parametrize("camera", [MAIN_CAMERA, WRIST_CAMERA])
def test_leaving_out_what_is_not_seen_changes_no_pixel(camera: str, env: LiberoEnv) -> None:
    env.reset(start(env))
    renderer = Renderer(env.model, RenderMode.FAST, SIZE)
    visible = np.nonzero(env.model.geom_group == 1)[0]
    for _ in range(4):
        env.step(np.tile([0.3, 0.5, -0.5, 0.0, 0.3, 0.3, 1.0], (5, 1)))
        picture = renderer.picture(env._shown, camera)
        assert len(out_of_view(env.model, env._shown, env.model.camera(camera).id, visible)) > 10
        np.testing.assert_array_equal(renderer._draw(env._shown, visible[:0], sky=True), picture)


def test_only_a_fixed_camera_without_sky_in_view_leaves_it_out(env: LiberoEnv) -> None:
    env.reset(start(env))
    renderer = Renderer(env.model, RenderMode.FAST, SIZE)
    cameras = [MAIN_CAMERA, WRIST_CAMERA, "birdview"]
    numbers = [env.model.camera(camera).id for camera in cameras]
    for camera in cameras:
        renderer.picture(env._shown, camera)
    assert [renderer._sees_sky[number] for number in numbers] == [False, True, False]


def test_what_is_simulated_is_not_thinned_out(env: LiberoEnv) -> None:
    faces = env.model.mesh_facenum.copy()
    widths = env.model.tex_width.copy()
    Renderer(env.model, RenderMode.FAST, 16)
    np.testing.assert_array_equal(env.model.mesh_facenum, faces)
    np.testing.assert_array_equal(env.model.tex_width, widths)


def test_a_process_that_ends_gives_its_graphics_memory_back_first() -> None:
    script = """
import atexit
import mujoco
from core.config import RenderMode
from envs import renderer, rendering

atexit.register(lambda: print(len(rendering._contexts), rendering._gl_context()._context))
renderer.activate(renderer.probe())
world = '<mujoco><worldbody><camera name="c"/><geom size="1"/></worldbody></mujoco>'
model = mujoco.MjModel.from_xml_string(world)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
kept = [rendering.Renderer(model, RenderMode.EXACT, 64) for _ in range(3)]
for one in kept:
    one.picture(data, "c")
del kept[0]
print(len(rendering._contexts))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["3", "0 None", ""]
    assert done.stderr == ""


def test_pictures_may_be_larger_than_libero_draws_by_default(env: LiberoEnv) -> None:
    env.reset(start(env))
    picture = Renderer(env.model, RenderMode.EXACT, 700).picture(env._shown, "agentview")
    assert picture.shape == (700, 700, 3)
    assert picture[:100].std() > 1
    assert picture[-100:].std() > 1


def test_vertices_of_a_cell_become_the_one_nearest_to_their_mean() -> None:
    vertices = np.array([[0.0, 0, 0], [0.4, 0, 0], [0.9, 0, 0], [1.5, 0, 0]])
    # The first cell's mean is 0.433: vertex 1 is nearest. The second cell holds vertex 3 alone.
    assert merge_vertices(vertices, cell=1.0).tolist() == [1, 1, 1, 3]


def test_triangles_stay_once_for_each_side() -> None:
    faces = np.array([[0, 1, 2], [1, 2, 0], [2, 1, 0], [3, 3, 4], [0, 1, 3]])
    # The second is the first turned round, the fourth has collapsed; the third looks the other way.
    assert distinct_triangles(faces).tolist() == [0, 2, 4]


def test_textures_are_halved_by_averaging() -> None:
    scene = """
    <mujoco>
      <asset><texture name="t" type="2d" builtin="flat" rgb1="1 0 0" width="8" height="4"/></asset>
    </mujoco>
    """
    model = mujoco.MjModel.from_xml_string(scene)
    pixels = model.tex_data.reshape(4, 8, 3)
    pixels[:2, :2] = [[[0, 0, 0], [100, 0, 0]], [[0, 0, 0], [100, 0, 0]]]
    shrink_textures(model, max_width=4)
    assert (model.tex_height[0], model.tex_width[0]) == (2, 4)
    halved = model.tex_data[: 2 * 4 * 3].reshape(2, 4, 3)
    assert halved[0, 0].tolist() == [50, 0, 0]
    assert halved[1, 3].tolist() == [255, 0, 0]
