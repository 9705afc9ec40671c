"""The fixtures with joints: two cabinets of three drawers, a stove with a knob, a microwave with a door."""

from envs.primitives.mjcf import (
    Colour,
    Element,
    MeshStore,
    Part,
    add,
    add_extent_sites,
    add_parts,
    add_table_rows,
    collision_shapes,
    new_model,
    numbers,
    rgba,
    to_bytes,
)
from envs.primitives.shapes import Bar, Box, Lathe, Point, Shape

FOLDER = "articulated_objects"

METAL = (0.36, 0.36, 0.37)
DARK_METAL = (0.26, 0.26, 0.27)
KNOB = (0.1, 0.1, 0.1)
HANDLE = (0.55, 0.55, 0.57)
OVEN = (0.16, 0.16, 0.17)
WINDOW = (0.4, 0.4, 0.4, 0.25)

DRAWERS = {"top": 0.18393, "middle": 0.11041, "bottom": 0.04114}
"""Height of each drawer's handle."""

CABINETS: dict[str, tuple[Colour, Colour]] = {
    "wooden_cabinet": ((0.15, 0.115, 0.085), (0.2, 0.155, 0.115)),
    "white_cabinet": ((0.6, 0.6, 0.61), (0.66, 0.66, 0.67)),
}
"""Colours of the case and of the drawers."""


def articulated_files() -> dict[str, bytes]:
    """The MJCF files and meshes of all of them, by path in the asset folder."""
    builders = {"flat_stove": _stove, "microwave": _microwave, **dict.fromkeys(CABINETS, _cabinet)}
    files: dict[str, bytes] = {}
    for name, fill in builders.items():
        root, asset, world = new_model(name)
        outer = add(world, "body")
        meshes = MeshStore(asset, f"{name}/visual", name)
        fill(outer, add(outer, "body", name="object"), meshes)
        files |= {f"{FOLDER}/{name}.xml": to_bytes(root)}
        files |= {f"{FOLDER}/{path}": data for path, data in meshes.files.items()}
    return files


def _cabinet(outer: Element, body: Element, meshes: MeshStore) -> None:
    case, drawer = CABINETS[meshes.prefix]
    base = add(body, "body", name="base", pos="0 0 0")
    add_parts(base, meshes, [Part(case, collision_shapes("cabinet", "base"))])
    add_table_rows(base, "cabinet", "base")
    for level, height in DRAWERS.items():
        moving = _jointed_body(
            base,
            f"cabinet_{level}",
            f"{level}_level",
            type="slide",
            axis="0 1 0",
            damping="50",
            range="-0.16 0.01",
        )
        walls = collision_shapes("cabinet", moving.get("name", ""))[:6]
        add_parts(moving, meshes, [Part(drawer, walls), Part(HANDLE, [_drawer_handle(height)])])
        add_table_rows(moving, "cabinet", moving.get("name", ""))
    add_extent_sites(outer, -0.045, 0.045, 0.045)


def _drawer_handle(height: float) -> Bar:
    corners = [(-0.0356, -0.076), (-0.0356, -0.103), (0.0292, -0.103), (0.0292, -0.076)]
    points: list[Point] = [(x, y, height) for x, y in corners]
    return Bar(points, 0.011)


def _stove(outer: Element, body: Element, meshes: MeshStore) -> None:
    base = add(body, "body", name="base", pos="0 0 0")
    burner = add(base, "body", name="burner", pos="0.15 0 0")
    plate = {"type": "box", "pos": "0 0 0", "size": "0.095 0.095 0.02"}
    add_table_rows(burner, "flat_stove", "burner")
    add(burner, "geom", name="base_vis", group="1", rgba=rgba(METAL), **plate)
    add(burner, "geom", name="base", group="0", rgba=rgba(METAL), **plate)
    thin = {"type": "box", "pos": "0 0 0.025", "size": "0.095 0.095 0.0005"}
    add(burner, "geom", name="collision_burner", group="0", rgba="0 0 0 0", **thin)
    burner_plate = add(burner, "body", name="burner_plate")
    add_parts(burner_plate, meshes, [Part(DARK_METAL, _burner_rings(), "burner")])
    # LIBERO shows this red disc, between the rings, while the stove is on.
    disc = {"type": "cylinder", "pos": "0 0 0.022", "size": "0.0625 0.0005", "rgba": "0.9 0.05 0.05 1"}
    add(burner, "site", name="burner", **disc)
    _stove_knob(base, meshes)
    add_extent_sites(outer, -0.045, 0.045, 0.045)


def _burner_rings() -> list[Shape]:
    radii = [(0.065, 0.056), (0.047, 0.038), (0.029, 0.02), (0.011, 0.0)]
    return [Lathe([(outer, 0.0193), (outer, 0.0254), (inner, 0.0254)], sides=20) for outer, inner in radii]


def _stove_knob(base: Element, meshes: MeshStore) -> None:
    knob = _jointed_body(
        base, "button", "button", type="hinge", axis="0 0 1", damping="1", range="-0.005 2.1"
    )
    knob.set("quat", "0.7071068 0 0 0.7071068")
    disc = Lathe([(0.047, 0.0), (0.044, 0.0135), (0, 0.0135)], centre=(-0.002, 0.0, 0.0))
    grip = Box((0.0, -0.002, 0.033), (0.012, 0.042, 0.021))
    add_parts(knob, meshes, [Part(KNOB, [disc, grip])])
    add_table_rows(knob, "flat_stove", "button")


def _jointed_body(parent: Element, name: str, joint: str, **settings: str) -> Element:
    """A drawer or knob: LIBERO gives each of them the same fixed inertia."""
    body = add(parent, "body", name=name, pos="0 0 0")
    add(body, "inertial", pos="0 0 0", mass="3", diaginertia="1 1 1")
    add(body, "joint", name=joint, pos="0 0 0", limited="true", **settings)
    return body


OVEN_CONTACT = {
    **{"contype": "0", "conaffinity": "1", "condim": "3", "group": "0", "margin": "0.001"},
    **{"solimp": ".8 .9 .01", "solref": ".02 1", "rgba": "0.3 0.3 1 0.5"},
}
OVEN_WALLS: list[tuple[Point, Point]] = [
    ((-0.158, 0.0115, 0.0935), (0.0145, 0.09955, 0.0935)),
    ((0.118, 0.0115, 0.0935), (0.0545, 0.09955, 0.0935)),
    ((-0.0405, 0.0955, 0.0935), (0.1035, 0.015, 0.0935)),
    ((-0.04, -0.0035, 0.1775), (0.1035, 0.0845, 0.0095)),
    ((-0.04, -0.004, 0.012), (0.1035, 0.084, 0.012)),
    ((0.13, -0.0985, 0.0935), (0.0425, 0.012, 0.0935)),
]
"""Centre and half size of the six boxes around the cavity."""
DOOR_BOX: tuple[Point, Point] = ((0.1295, -0.013, 0.0), (0.1295, 0.012, 0.0925))
HANDLE_CAPSULES = [
    {"pos": "0.2375 -0.054 0", "size": "0.01 0.065"},
    {"pos": "0.2375 -0.0375 0.065", "size": "0.01 0.015", "euler": "1.57 0 0"},
    {"pos": "0.2375 -0.0375 -0.065", "size": "0.01 0.015", "euler": "1.57 0 0"},
]


def _microwave(outer: Element, body: Element, meshes: MeshStore) -> None:
    buttons = Box((0.126, -0.1106, 0.021), (0.032, 0.0015, 0.009))
    add_parts(body, meshes, [Part(OVEN, [Box(*wall) for wall in OVEN_WALLS]), Part(METAL, [buttons])])
    add_table_rows(body, "microwave")
    for wall in OVEN_WALLS:
        _oven_box(body, wall, "0.5")
    door = add(body, "body", name="microdoorroot", pos="-0.1725 -0.088 0.096")
    hinge = {"name": "microjoint", "type": "hinge", "axis": "0 0 1", "limited": "true", "range": "-2.094 0"}
    add(door, "joint", damping="0.5", **hinge)
    add_parts(door, meshes, _door_parts())
    for capsule in HANDLE_CAPSULES:
        add(door, "geom", type="capsule", mass="0.020", **OVEN_CONTACT, **capsule)
    _oven_box(door, DOOR_BOX, "0.20")
    add_extent_sites(outer, -0.06, 0.06, 0.015)


def _oven_box(body: Element, place: tuple[Point, Point], mass: str) -> None:
    centre, half = place
    add(body, "geom", type="box", pos=numbers(centre), size=numbers(half), mass=mass, **OVEN_CONTACT)


def _door_parts() -> list[Part]:
    frame: list[Shape] = [
        Box((0.021, -0.0124, 0), (0.021, 0.01, 0.0911)),
        Box((0.2375, -0.0124, 0), (0.021, 0.01, 0.0911)),
        Box((0.1293, -0.0124, 0.0761), (0.0873, 0.01, 0.015)),
        Box((0.1293, -0.0124, -0.0761), (0.0873, 0.01, 0.015)),
    ]
    pane = Box((0.1293, -0.0124, 0), (0.0873, 0.003, 0.0611))
    grip = Bar(
        [(0.2375, -0.02, 0.065), (0.2375, -0.054, 0.065), (0.2375, -0.054, -0.065), (0.2375, -0.02, -0.065)],
        0.018,
    )
    return [Part(OVEN, frame), Part(HANDLE, [grip]), Part(WINDOW, [pane])]
