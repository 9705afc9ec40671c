"""The five rooms: floor, walls, lights, cameras, the table with LIBERO's figures, and a backdrop of boxes.

LIBERO's arena classes look up `texplane`, `tex-wall`, the tables and the cameras by name and change them; the
backdrop is for the eye only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from envs.primitives.backdrops import KITCHEN, LIVING_ROOM, STUDY
from envs.primitives.mjcf import (
    Element,
    MeshStore,
    Part,
    add,
    add_parts,
    add_table_rows,
    collision_shapes,
    new_model,
    rgba,
    to_bytes,
)
from envs.primitives.shapes import Box, Lathe, Shape

FOLDER = "scenes"

TABLE_LEG = (0.72, 0.65, 0.58)
LIVING_ROOM_WOOD = (0.31, 0.205, 0.155)
DESK_WOOD = (0.58, 0.41, 0.21)


@dataclass(frozen=True)
class Room:
    """One arena: its walls, what stands on its floor and what is seen behind."""

    walls: str
    """`corners` cuts the two far corners off, as in most rooms; `square` does not."""
    floor_body: bool = False
    """Whether the floor geom sits in a body of its own (where objects or sites hang on it)."""
    table: str = ""
    """Which table: `box` (sized by LIBERO's code), `round`, `desk` or none."""
    backdrop: Sequence[Part] = ()


ROOMS = {
    "libero_tabletop_base_style": Room("corners", table="box"),
    "libero_floor_base_style": Room("corners", floor_body=True),
    "libero_kitchen_tabletop_base_style": Room("square", table="box", backdrop=KITCHEN),
    "libero_living_room_tabletop_base_style": Room(
        "corners", floor_body=True, table="round", backdrop=LIVING_ROOM
    ),
    "libero_study_base_style": Room("corners", table="desk", backdrop=STUDY),
}

CORNER_QUATS = ("0.6532815 0.6532815 0.2705981 0.2705981", "0.6532815 0.6532815 -0.2705981 -0.2705981")
SIDE_QUATS = ("0.7071 0.7071 0 0", "0.7071 -0.7071 0 0")
REAR, FRONT = "0.5 0.5 0.5 0.5", "0.5 0.5 -0.5 -0.5"
FRONT_WALL = ("wall_front_visual", "3 0 1.5", FRONT, "3 1.5 0.01")
WALLS = {
    "corners": [
        ("wall_leftcorner_visual", "-1.25 2.25 1.5", CORNER_QUATS[0], "1.06 1.5 0.01"),
        ("wall_rightcorner_visual", "-1.25 -2.25 1.5", CORNER_QUATS[1], "1.06 1.5 0.01"),
        ("wall_left_visual", "1.25 3 1.5", SIDE_QUATS[0], "1.75 1.5 0.01"),
        ("wall_right_visual", "1.25 -3 1.5", SIDE_QUATS[1], "1.75 1.5 0.01"),
        ("wall_rear_visual", "-2 0 1.5", REAR, "1.5 1.5 0.01"),
        FRONT_WALL,
    ],
    "square": [
        ("wall_left_visual", "0.5 3 1.5", SIDE_QUATS[0], "2.5 1.5 0.01"),
        ("wall_right_visual", "0.5 -3 1.5", SIDE_QUATS[1], "2.5 1.5 0.01"),
        ("wall_rear_visual", "-2 0 1.5", REAR, "3 1.5 0.01"),
        FRONT_WALL,
    ],
}
"""Name, position, orientation and half size."""

LIGHT = {"diffuse": ".8 .8 .8", "specular": "0.3 0.3 0.3", "castshadow": "false"}
LIGHTS: list[dict[str, str]] = [
    {"name": "light1", "pos": "1 1 4", "dir": "0 -.15 -1", "directional": "false", **LIGHT},
    {"name": "light2", "pos": "-3 -3 4", "dir": "0 -.15 -1", "directional": "false", **LIGHT},
]
KITCHEN_LIGHT = {
    **{"name": "light_kitchen", "pos": "-1.75 0 1.6", "dir": "0 0 -1", "directional": "true"},
    **{"diffuse": ".8 .8 .8", "specular": "0.8 0.8 0.8", "castshadow": "false"},
}

CAMERAS = {
    "frontview": ("1 0 1.45", "0.56 0.43 0.43 0.56"),
    "birdview": ("-0.2 0 3", "0.7071 0 0 0.7071"),
    "agentview": ("0.5 0 1.35", "0.653 0.271 0.271 0.653"),
    "sideview": (
        "-0.05651774593317116 1.2761224129427358 1.4879572214102434",
        "0.009905065491771751 0.006877963156909582 0.5912228352893879 0.806418094001364",
    ),
}
"""Position and orientation; LIBERO's tasks move `agentview` themselves."""


def arena_files() -> dict[str, bytes]:
    """The MJCF files and meshes of all rooms, by path in the asset folder."""
    files: dict[str, bytes] = {}
    for name, room in ROOMS.items():
        root, asset, world = new_model(name)
        meshes = MeshStore(asset, f"{name}/visual", name)
        _add_materials(asset)
        _add_shell(world, room)
        _TABLES[room.table](world, meshes)
        add_parts(world, meshes, room.backdrop)
        files |= {f"{FOLDER}/{name}.xml": to_bytes(root)}
        files |= {f"{FOLDER}/{path}": data for path, data in meshes.files.items()}
    return files


def _add_materials(asset: Element) -> None:
    sky = {"builtin": "gradient", "rgb1": ".9 .9 1", "rgb2": ".2 .3 .4", "width": "32", "height": "32"}
    add(asset, "texture", type="skybox", **sky)
    textures = {
        "texplane": ("2d", "light-gray-floor-tile"),
        "tex-wall": ("2d", "light-gray-plaster"),
        "tex-table": ("cube", "martin_novak_wood_table"),
    }
    for name, (kind, file) in textures.items():
        add(asset, "texture", name=name, type=kind, file=f"../textures/{file}.png")
    tiled = {"texrepeat": "3 3", "texuniform": "true"}
    matt = {"reflectance": "0", "shininess": "0"}
    add(asset, "material", name="floorplane", texture="texplane", specular="0", **matt, **tiled)
    add(asset, "material", name="walls_mat", texture="tex-wall", shininess="0.1", specular="0.8", **tiled)
    add(asset, "material", name="table_texture", texture="tex-table", specular="0.2", **matt)


def _add_shell(world: Element, room: Room) -> None:
    holder = add(world, "body", name="floor", pos="0 0 0") if room.floor_body else world
    floor = {"type": "plane", "pos": "0 0 0", "size": "3 3 0.5", "condim": "3", "group": "1"}
    add(holder, "geom", name="floor", material="floorplane", **floor)
    for name, pos, quat, size in WALLS[room.walls]:
        wall = {"contype": "0", "conaffinity": "0", "group": "1", "material": "walls_mat"}
        add(world, "geom", type="box", name=name, pos=pos, quat=quat, size=size, **wall)
    for light in [KITCHEN_LIGHT, *LIGHTS] if room.backdrop is KITCHEN else LIGHTS:
        add(world, "light", **light)
    for name, (pos, quat) in CAMERAS.items():
        add(world, "camera", name=name, mode="fixed", pos=pos, quat=quat)


def _add_box_table(world: Element, meshes: MeshStore) -> None:
    table = add(world, "body", name="table", pos="0 0 0.4")
    block = {"type": "box", "pos": "0 0 0", "size": "0.4 0.4 0.4"}
    seen = {"contype": "0", "conaffinity": "0", "group": "1"}
    add(table, "geom", name="table_collision", group="0", friction="1 0.005 0.0001", **block)
    add(table, "geom", name="table_visual", material="table_texture", **seen, **block)
    add(table, "site", name="table_top", pos="0 0 0.4", size="0.001 0.001 0.001", rgba="0 0 0 0")
    leg_mesh = meshes.add([Box((0, 0, 0), (0.025, 0.025, 0.4375))])
    for number in range(1, 5):
        # LIBERO's code moves the legs and sets a cylinder's size on them, which a mesh ignores.
        leg = {"type": "mesh", "mesh": leg_mesh, "rgba": rgba(TABLE_LEG), **seen}
        add(table, "geom", name=f"table_leg{number}_visual", **leg)


def _add_round_table(world: Element, meshes: MeshStore) -> None:
    outer = add(world, "body", name="living_room_table", pos="0 0 0", quat="1 0 0 0")
    body_name = "living_room_table_col"
    table = add(outer, "body", name=body_name, pos="-0.25 0.25 0", quat="0.707 0 0 0.707")
    rim = [(0.41, 0.413), (0.9, 0.413), (0.9, 0.4368), (0.6, 0.4368), (0.3, 0.4368), (0, 0.4368)]
    centre = (-0.2085, -0.011, 0.0)
    shapes: list[Shape] = [
        Lathe(rim, centre=centre, sides=32, squash=0.665),
        Lathe([(0.44, 0), (0.44, 0.42)], centre=(-0.02, 0.0, 0.0), squash=0.94),
    ]
    add_parts(table, meshes, [Part(LIVING_ROOM_WOOD, shapes)])
    add_table_rows(table, "living_room", body_name)


def _add_desk(world: Element, meshes: MeshStore) -> None:
    desk = add(world, "body", name="study_table", pos="0 0 0", quat="1 0 0 0")
    top = Box((0, 0, 0.84929), (0.68946, 1.39273, 0.03584), splits=4)
    legs = collision_shapes("study", "study_table")[1:]
    add_parts(desk, meshes, [Part(DESK_WOOD, [top, *legs])])
    add_table_rows(desk, "study", "study_table")


def _add_no_table(world: Element, meshes: MeshStore) -> None:
    pass


_TABLES = {"box": _add_box_table, "round": _add_round_table, "desk": _add_desk, "": _add_no_table}
