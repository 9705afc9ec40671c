"""One try of one OpenGL renderer, in a process that may hang or die for it; `renderer.py` runs it.

In: MUJOCO_GL and MUJOCO_EGL_DEVICE_ID, and `count` or `draw` on the command line. Out: one JSON line and exit
code 0 if the renderer works, else what is wrong.
"""

import json
import os
import sys

_SCENE = """
<mujoco>
  <worldbody>
    <light pos="0 0 3"/>
    <camera name="above" pos="0 0 2"/>
    <geom type="sphere" size="0.3" rgba="1 0 0 1"/>
  </worldbody>
</mujoco>
"""
_SIZE = 32


def count() -> dict[str, int]:
    from mujoco.egl import egl_ext

    return {"num_devices": len(egl_ext.eglQueryDevicesEXT())}


def draw() -> dict[str, str]:
    import mujoco
    from OpenGL import GL

    assert os.environ["MUJOCO_GL"] in ("egl", "osmesa")
    model = mujoco.MjModel.from_xml_string(_SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, _SIZE, _SIZE) as renderer:
        renderer.update_scene(data, "above")
        picture = renderer.render()
        name = GL.glGetString(GL.GL_RENDERER).decode()
    if picture[_SIZE // 2, _SIZE // 2, 0] < 50:
        raise RuntimeError("the red ball is not in the picture")
    return {"gl_renderer": name}


if __name__ == "__main__":
    try:
        print(json.dumps({"count": count, "draw": draw}[sys.argv[1]]()))
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        os._exit(1)  # half-made contexts would complain while they are taken down
