"""The things that can be moved: groceries, dishes, books. One row of the table for each LIBERO category.

Each looks like what it stands for with as few parts as tell it from its neighbours at 128 pixels. Groceries
have their own y axis upwards (LIBERO turns them when it places them), all others z.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from envs.primitives.mjcf import (
    Colour,
    MeshStore,
    Part,
    add,
    add_extent_sites,
    add_parts,
    add_table_rows,
    collision_shapes,
    new_model,
    numbers,
    to_bytes,
)
from envs.primitives.shapes import Bar, Box, Lathe, Point

HOPE, SCANNED, TURBOSQUID = "stable_hope_objects", "stable_scanned_objects", "turbosquid_objects"

CAST_IRON = (0.2, 0.2, 0.21)
BLACK = (0.1, 0.1, 0.11)
WHITE = (0.92, 0.92, 0.9)
PAPER = (0.8, 0.79, 0.75)
STEEL = (0.62, 0.63, 0.65)
CHINA = (0.84, 0.85, 0.84)
RED = (0.72, 0.12, 0.08)
DARK_RED = (0.5, 0.1, 0.08)
GREEN = (0.03, 0.38, 0.16)
YELLOW = (0.95, 0.72, 0.1)
ORANGE = (0.93, 0.42, 0.06)
BISCUIT = (0.8, 0.52, 0.18)
KETCHUP = (0.78, 0.2, 0.04)
BROWN = (0.3, 0.15, 0.08)
SKY = (0.28, 0.48, 0.8)
PALE_BLUE = (0.62, 0.7, 0.85)
NAVY = (0.2, 0.3, 0.62)
SAND = (0.82, 0.7, 0.45)
STRAW = (0.74, 0.58, 0.36)
WOOD = (0.56, 0.41, 0.26)
OAK = (0.62, 0.47, 0.31)
DARK_WOOD = (0.16, 0.13, 0.11)
PINE = (0.74, 0.59, 0.43)
MAHOGANY = (0.36, 0.1, 0.04)
GLASS = (0.02, 0.1, 0.03)
BUFF = (0.74, 0.69, 0.6)


@dataclass(frozen=True)
class Extent:
    """Heights and radius that robosuite's placement works with (LIBERO's figures, not the true size)."""

    bottom: float = -0.06
    top: float = 0.04
    radius: float = 0.025


@dataclass(frozen=True)
class Thing:
    """One movable object."""

    folder: str
    parts: Sequence[Part]
    extent: Extent = Extent()
    offset: Point = (0.0, 0.0, 0.0)
    """Position of LIBERO's object body in its file."""
    inner: tuple[str, Point] | None = None
    """A nested body that holds the geoms, and its position."""
    boxes: str = ""
    """Whose rows of the table to use, where not its own."""


def _can(label: Sequence[Part]) -> list[Part]:
    lids = [
        Lathe(
            [(0, -0.0415), (0.033, -0.0415), (0.033, 0.0415), (0.027, 0.0415), (0.025, 0.038), (0, 0.038)],
            "y",
        )
    ]
    return [Part(STEEL, lids), *label]


def _band(colour: Colour, radius: float, low: float, high: float) -> Part:
    return Part(colour, [Lathe([(radius, low), (radius, high)], "y")])


def _bottle(
    colour: Colour, cap: Colour, label: Colour | None, *, axis: str, squash: float, height: float
) -> list[Part]:
    """A squeeze bottle whose size is that of the ketchup's, scaled to `height` (half of the whole)."""
    s = height / 0.074
    body = [(0, -1), (0.4, -1), (0.43, -0.9), (0.43, -0.1), (0.22, 0.45)]
    lid = [(0.22, 0.45), (0.22, 0.97), (0.18, 1), (0, 1)]
    scaled = [[(r * 0.074 * s, h * 0.074 * s) for r, h in profile] for profile in (body, lid)]
    parts = [
        Part(colour, [Lathe(scaled[0], axis, squash=squash)]),
        Part(cap, [Lathe(scaled[1], axis, squash=squash)]),
    ]
    if label:
        stripe = [(0.0322 * s, -0.05 * s), (0.0325 * s, -0.01 * s)]
        parts.append(Part(label, [Lathe(stripe, axis, squash=squash)]))
    return parts


def _carton(bottom: Colour, middle: Colour, top: Colour) -> list[Part]:
    """A drink carton of three bands with a gable."""
    roof = [(0.0382, 0.043), (0.009, 0.066), (0.009, 0.072), (0, 0.072)]
    return [
        Part(bottom, [Box((0, -0.053, 0), (0.027, 0.019, 0.0273))]),
        Part(middle, [Box((0, -0.003, 0), (0.027, 0.031, 0.0273))]),
        Part(top, [Lathe(roof, "y", sides=4), Box((0, 0.036, 0), (0.027, 0.008, 0.0273))]),
    ]


def _packet(half: Point, base: Colour, *panels: tuple[Colour, Point, Point]) -> list[Part]:
    """A flat box with coloured panels (centre and half size; they stand out by a hair)."""
    return [
        Part(base, [Box((0, 0, 0), half)]),
        *(Part(colour, [Box(centre, size)]) for colour, centre, size in panels),
    ]


def _vessel(
    outside: Sequence[tuple[float, float]], wall: float, centre: Point = (0, 0, 0), sides: int = 16
) -> Lathe:
    """An open vessel: the outer profile from the bottom's middle up to the rim, then back down inside."""
    inside = [(max(r - wall, 0.0), max(h, wall)) for r, h in reversed(outside)]
    return Lathe([*outside, *inside], centre=centre, sides=sides)


def _bowl(scale: float) -> Lathe:
    outline = [(0, 0), (0.022, 0), (0.034, 0.009), (0.047, 0.034), (0.0535, 0.0525)]
    return _vessel([(r * scale, h * scale) for r, h in outline], 0.0025 * scale)


def _ear(*bends: tuple[float, float]) -> Bar:
    """A mug's handle through these points of the x-z plane."""
    return Bar([(x, 0.0, z) for x, z in bends], 0.009)


def _book(cover: Colour, centre_y: float, half: Point) -> list[Part]:
    x, y, z = half
    boards = [Box((side * (x - 0.0015), centre_y, z), (0.0015, y, z)) for side in (-1, 1)]
    spine = Box((0, centre_y + y - 0.0015, z), (x, 0.0015, z))
    pages = Box((0, centre_y - 0.002, z), (x - 0.003, y - 0.004, z - 0.003))
    return [Part(cover, [*boards, spine]), Part(PAPER, [pages])]


def _rack() -> list[Part]:
    planes_and_stops, stand = collision_shapes("wine_rack")[:4], collision_shapes("wine_rack")[4:]
    return [Part(PINE, planes_and_stops), Part(MAHOGANY, stand)]


def object_files() -> dict[str, bytes]:
    """The MJCF files and meshes of all movable objects, by path in the asset folder."""
    things = {**_groceries(), **_dishes(), **_household()}
    return {path: data for name, thing in things.items() for path, data in _thing_files(name, thing).items()}


def _groceries() -> dict[str, Thing]:
    dressing = _bottle(WHITE, GREEN, GREEN, axis="y", squash=0.7, height=0.0737)
    return {
        "alphabet_soup": Thing(
            HOPE,
            _can([_band(SKY, 0.0335, 0.002, 0.036), _band(ORANGE, 0.0335, -0.037, 0.002)]),
            Extent(bottom=-0.04),
        ),
        "tomato_sauce": Thing(
            HOPE, _can([_band(RED, 0.0335, -0.037, 0.036), _band(GREEN, 0.0338, -0.005, 0.018)])
        ),
        "bbq_sauce": Thing(
            HOPE,
            _bottle((0.3, 0.07, 0.02), ORANGE, RED, axis="z", squash=0.67, height=0.0571),
            Extent(top=0.06, radius=0.015),
        ),
        "ketchup": Thing(HOPE, _bottle(KETCHUP, WHITE, SAND, axis="y", squash=0.67, height=0.0743)),
        "salad_dressing": Thing(HOPE, dressing),
        "new_salad_dressing": Thing(
            HOPE, dressing, inner=("sald_dressing_body", (0, 0.05, 0)), boxes="salad_dressing"
        ),
        "milk": Thing(HOPE, _carton(GREEN, RED, WHITE), Extent(radius=0.03)),
        "orange_juice": Thing(HOPE, _carton(ORANGE, YELLOW, ORANGE)),
        "butter": Thing(
            HOPE,
            _packet(
                (0.0387, 0.02, 0.009),
                ORANGE,
                (SKY, (0.022, 0, 0), (0.0172, 0.0203, 0.0093)),
                (WHITE, (0.02, 0, 0.0003), (0.008, 0.012, 0.0095)),
            ),
            Extent(-0.02, 0.02, 0.02),
        ),
        "cream_cheese": Thing(
            HOPE,
            _packet((0.0415, 0.0213, 0.0097), PALE_BLUE, (NAVY, (0, 0, 0), (0.028, 0.011, 0.0101))),
            Extent(-0.025, 0.025, 0.03),
        ),
        "chocolate_pudding": Thing(
            HOPE,
            _packet(
                (0.0417, 0.0247, 0.0149),
                BROWN,
                (PALE_BLUE, (0, -0.0205, 0), (0.042, 0.0046, 0.0152)),
                (ORANGE, (0, 0.004, 0), (0.028, 0.004, 0.0153)),
            ),
        ),
        "cookies": Thing(
            HOPE,
            _packet(
                (0.0307, 0.0418, 0.01),
                RED,
                (BISCUIT, (0, 0, 0), (0.024, 0.024, 0.0104)),
                (WHITE, (0, -0.034, 0), (0.0309, 0.004, 0.0103)),
            ),
        ),
    }


def _dishes() -> dict[str, Thing]:
    plate_outside = [(0, 0.0005), (0.042, 0.0005), (0.0686, 0.0155), (0.0686, 0.0165), (0.0625, 0.0135)]
    plate_inside = [(0.0625, 0.0135), (0.048, 0.006), (0, 0.004)]
    pan = [(0, 0), (0.072, 0), (0.098, 0.048)]
    ramekin = [(0, 0), (0.036, 0), (0.0443, 0.0433)]
    porcelain = [(0, 0), (0.022, 0), (0.036, 0.012), (0.044, 0.04), (0.049, 0.1146)]
    red_mug = [(0, 0), (0.033, 0), (0.0453, 0.1349)]
    white_mug = [(0, 0), (0.031, 0), (0.037, 0.015), (0.0512, 0.1048)]
    porcelain_ear = _ear(
        (-0.025, 0.025), (-0.047, 0.03), (-0.061, 0.047), (-0.06, 0.072), (-0.047, 0.086), (-0.03, 0.088)
    )
    red_ear = _ear((0.018, 0.02), (0.045, 0.06), (0.058, 0.095), (0.05, 0.115), (0.024, 0.117))
    white_ear = _ear((0.022, 0.026), (0.063, 0.03), (0.065, 0.08), (0.028, 0.082))
    return {
        "akita_black_bowl": Thing(SCANNED, [Part(BLACK, [_bowl(1.0)])], offset=(0, -0.1, 0)),
        "white_bowl": Thing(SCANNED, [Part(WHITE, [_bowl(0.77)])]),
        "plate": Thing(
            SCANNED,
            [
                Part(DARK_RED, [Lathe(plate_outside, sides=20)]),
                Part(WHITE, [Lathe(plate_inside, sides=20)]),
            ],
        ),
        "chefmate_8_frypan": Thing(
            SCANNED,
            [
                Part(
                    BLACK,
                    [
                        _vessel(pan, 0.004, sides=20),
                        Bar([(0.095, 0, 0.022), (0.14, 0, 0.035), (0.26, 0, 0.05)], 0.02),
                    ],
                ),
                Part(CAST_IRON, [Lathe([(0.072, 0.0045), (0, 0.0045)], sides=20)]),
            ],
        ),
        "glazed_rim_porcelain_ramekin": Thing(SCANNED, [Part(CHINA, [_vessel(ramekin, 0.004)])]),
        "basket": Thing(SCANNED, [Part(STRAW, collision_shapes("basket"))]),
        "porcelain_mug": Thing(
            TURBOSQUID,
            [
                Part(
                    CHINA,
                    [_vessel(porcelain, 0.003, (0.015, -0.002, 0)), porcelain_ear],
                )
            ],
        ),
        "red_coffee_mug": Thing(
            TURBOSQUID,
            [Part((0.7, 0.05, 0.06), [_vessel(red_mug, 0.003, (-0.0178, 0, 0)), red_ear])],
        ),
        "white_yellow_mug": Thing(
            TURBOSQUID,
            [
                Part(WHITE, [_vessel(white_mug, 0.003, (-0.018, -0.001, 0)), white_ear]),
                Part(
                    YELLOW,
                    [Lathe([(0.0315, 0.001), (0.0375, 0.015), (0.0425, 0.044)], centre=(-0.018, -0.001, 0))],
                ),
            ],
        ),
        "moka_pot": Thing(
            TURBOSQUID,
            [
                Part(
                    (0.75, 0.75, 0.77),
                    [
                        Lathe(
                            [(0, -0.067), (0.039, -0.067), (0.031, 0.0), (0.039, 0.066), (0, 0.072)], sides=8
                        ),
                        Bar([(0, -0.03, 0.045), (0, -0.058, 0.064)], 0.014),
                    ],
                ),
                Part(
                    BLACK,
                    [
                        Bar(
                            [(0, 0.03, 0.058), (0, 0.066, 0.06), (0, 0.078, 0.04), (0, 0.055, -0.008)], 0.013
                        ),
                        Bar([(0, 0, 0.07), (0, 0, 0.085)], 0.014),
                    ],
                ),
            ],
        ),
    }


def _household() -> dict[str, Thing]:
    bottle = [(0, 0), (0.0216, 0), (0.0216, 0.072), (0.0085, 0.1), (0.0075, 0.142)]
    label = [(0.0218, 0.012), (0.0218, 0.056)]
    return {
        "wine_bottle": Thing(
            TURBOSQUID,
            [
                Part(GLASS, [Lathe(bottle, sides=12)]),
                Part(PINE, [Lathe([(0.0078, 0.14), (0.0078, 0.159), (0, 0.159)])]),
                Part(PAPER, [Lathe(label, sides=12)]),
            ],
        ),
        "wine_rack": Thing(TURBOSQUID, _rack()),
        "wooden_tray": Thing(TURBOSQUID, [Part(WOOD, collision_shapes("wooden_tray"))]),
        "wooden_two_layer_shelf": Thing(
            TURBOSQUID, [Part(DARK_WOOD, collision_shapes("wooden_two_layer_shelf"))]
        ),
        "desk_caddy": Thing(TURBOSQUID, [Part(OAK, collision_shapes("desk_caddy"))]),
        "black_book": Thing(TURBOSQUID, _book((0.05, 0.05, 0.05), -0.012, (0.015, 0.0567, 0.069))),
        "yellow_book": Thing(TURBOSQUID, _book(BUFF, 0.0, (0.0135, 0.0505, 0.0617))),
    }


def _thing_files(name: str, thing: Thing) -> dict[str, bytes]:
    root, asset, world = new_model(name)
    outer = add(world, "body")
    body = add(outer, "body", name="object", pos=numbers(thing.offset))
    holder = body
    if thing.inner:
        holder = add(body, "body", name=thing.inner[0], pos=numbers(thing.inner[1]))
    meshes = MeshStore(asset, "visual", name)
    add_parts(holder, meshes, thing.parts)
    add_table_rows(holder, thing.boxes or name)
    add_extent_sites(outer, thing.extent.bottom, thing.extent.top, thing.extent.radius)
    folder = f"{thing.folder}/{name}"
    return {
        f"{folder}/{name}.xml": to_bytes(root),
        **{f"{folder}/{path}": data for path, data in meshes.files.items()},
    }
