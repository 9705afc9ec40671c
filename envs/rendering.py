"""Pictures of a simulation: `exact` is LIBERO's own picture, `fast` is for training.

In: a model, the data of one moment, a camera name. Out: (H, W, 3) uint8, turned 180 degrees as LIBERO's
protocol asks.

A process has one OpenGL context, made in the process that uses it: two of them corrupt each other's
pictures. Every model has its own MuJoCo rendering context inside it.

`fast` leaves out multisampling, reflections and shadows, renders into a buffer of exactly the picture's
size, leaves out what is outside the view, and thins visual meshes out; in software rendering the cost of a
picture is its triangles.
"""

import atexit
import copy
import importlib
import os
import weakref
from functools import cache
from typing import Any

import mujoco
import numpy as np

from core.config import RenderMode
from envs.culling import out_of_view
from envs.decimation import decimate, shrink_textures

MAX_GEOMS = 1000
"""Of a scene; robosuite's own limit."""
VIEW_WIDTH_M = 1.0
"""Width of what LIBERO's main camera sees where the objects are."""
_COLLISION_GROUP = 0
_HIDDEN_GROUP = 5
"""Drawn by default is what belongs to groups 0 to 2."""


class Renderer:
    """Pictures of one model at one size.

    Making one takes no OpenGL, so that a background thread may; all pictures are taken by one thread.
    """

    def __init__(
        self, model: mujoco.MjModel, mode: RenderMode, size: int, *, coarse_arm: bool = False
    ) -> None:
        self._model = model
        self._rectangle = mujoco.MjrRect(0, 0, size, size)
        self._options = mujoco.MjvOption()
        self._options.geomgroup[_COLLISION_GROUP] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._scene = mujoco.MjvScene(model, maxgeom=MAX_GEOMS)
        self._sees_sky: dict[int, bool] = {}
        self._cullable = np.zeros(0, dtype=int)  # in an exact picture, what is out of view may throw shadows
        if mode is RenderMode.FAST:
            self._cullable = _visible_meshes(model)
            self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
            model = _simplified(model, size, coarse_arm=coarse_arm)
        buffer = model.vis.global_
        buffer.offwidth, buffer.offheight = max(size, buffer.offwidth), max(size, buffer.offheight)
        self._to_upload: mujoco.MjModel | None = model
        self._context: mujoco.MjrContext | None = None

    def picture(self, data: mujoco.MjData, camera: str) -> np.ndarray:
        _make_current()
        if self._context is None:
            self._context = mujoco.MjrContext(self._to_upload, mujoco.mjtFontScale.mjFONTSCALE_100)
            self._to_upload = None
            _contexts.add(self._context)
            weakref.finalize(self, _retired.append, self._context).atexit = False
        self._camera.fixedcamid = number = self._model.camera(camera).id
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        if number not in self._sees_sky:
            self._sees_sky[number] = self._may_see_sky(data)
        hidden = out_of_view(self._model, data, number, self._cullable)
        return self._draw(data, hidden, sky=self._sees_sky[number])

    def _may_see_sky(self, data: mujoco.MjData) -> bool:
        """A camera that stands still sees it past what stands still, or never; sky is dear."""
        is_fixed_body = self._model.body_weldid == 0
        if not is_fixed_body[self._model.cam_bodyid[self._camera.fixedcamid]]:
            return True
        moving = np.nonzero(~is_fixed_body[self._model.geom_bodyid])[0]
        return not np.array_equal(self._draw(data, moving, sky=True), self._draw(data, moving, sky=False))

    def _draw(self, data: mujoco.MjData, hidden_geoms: np.ndarray, *, sky: bool) -> np.ndarray:
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = sky
        self._update_scene(data, hidden_geoms)
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        pixels = np.empty((self._rectangle.height, self._rectangle.width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(pixels, None, self._rectangle, self._context)
        # OpenGL's rows go up, LIBERO keeps them so, and its protocol turns the picture by 180 degrees.
        return np.ascontiguousarray(pixels[::-1, ::-1])

    def _update_scene(self, data: mujoco.MjData, hidden_geoms: np.ndarray) -> None:
        model = self._model
        geom_groups, site_groups = model.geom_group.copy(), model.site_group.copy()
        model.geom_group[hidden_geoms] = _HIDDEN_GROUP
        model.site_group[model.site_rgba[:, 3] <= 0] = _HIDDEN_GROUP  # robosuite makes sites invisible so
        mujoco.mjv_updateScene(
            model, data, self._options, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        model.geom_group[:], model.site_group[:] = geom_groups, site_groups


def _visible_meshes(model: mujoco.MjModel) -> np.ndarray:
    """Numbers of the geoms that have many triangles."""
    is_mesh = model.geom_type == mujoco.mjtGeom.mjGEOM_MESH
    return np.nonzero(is_mesh & (model.geom_group != _COLLISION_GROUP))[0]


_contexts: set[mujoco.MjrContext] = set()
"""That hold graphics memory."""
_retired: list[mujoco.MjrContext] = []
"""Of renderers that are gone, perhaps in a thread without OpenGL: freed where the next picture is taken."""


def _simplified(model: mujoco.MjModel, size: int, *, coarse_arm: bool) -> mujoco.MjModel:
    """A copy to upload for drawing; the model that is simulated stays as it is."""
    model = copy.copy(model)
    model.vis.quality.offsamples = model.vis.quality.shadowsize = 0
    model.vis.global_.offwidth = model.vis.global_.offheight = 1  # at least; the size of the picture decides
    decimate(model, pixel_m=VIEW_WIDTH_M / size, coarse_arm=coarse_arm)
    shrink_textures(model, max_width=2 * size)
    return model


@cache
def _gl_context() -> Any:
    """Not `mujoco.GLContext`: that is fixed by the environment of mujoco's import, which may be long ago."""
    module = importlib.import_module(f"mujoco.{os.environ['MUJOCO_GL']}")
    # OSMesa wants a size even though MuJoCo draws into its own buffer.
    context = module.GLContext(640, 480)
    atexit.register(_close)  # after MuJoCo's own, which ends the display, and so run before it
    return context


def _make_current() -> None:
    _gl_context().make_current()
    while _retired:
        _free(_retired.pop())


def _free(context: mujoco.MjrContext) -> None:
    _contexts.remove(context)
    context.free()


def _close() -> None:
    """While Python and OpenGL still stand: drivers crash on what a process half taken apart gives back."""
    _make_current()
    for context in list(_contexts):
        _free(context)
    _gl_context().free()
