"""What stands behind the tables: kitchen units, a television wall, a study. World coordinates; looks only."""

from itertools import pairwise

from envs.primitives.mjcf import Colour, Part
from envs.primitives.shapes import Bar, Box, Lathe, Point, Shape

OLIVE = (0.15, 0.15, 0.1)
COAL = (0.06, 0.06, 0.06)
CREAM = (0.72, 0.7, 0.55)
CHROME = (0.45, 0.45, 0.46)
FRIDGE = (0.4, 0.4, 0.42)
PANEL = (0.62, 0.61, 0.58)
SCREEN = (0.04, 0.04, 0.05)
TERRACOTTA = (0.5, 0.2, 0.11)
SHELF = (0.75, 0.76, 0.77)
SHELF_SIDE = (0.2, 0.2, 0.2)
LEAF = (0.2, 0.4, 0.1)
BARK = (0.33, 0.25, 0.17)
LAMP = (0.85, 0.84, 0.76)


def _span(low: Point, high: Point, splits: int = 1) -> Box:
    """The box between two corners."""
    centre = tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
    half = tuple((b - a) / 2 for a, b in zip(low, high, strict=True))
    return Box(centre, half, splits=splits)  # type: ignore[arg-type]


def _doors(front: float, low: float, high: float, edges: list[float]) -> list[Shape]:
    """A row of doors with gaps between them, so that the dark carcass behind shows as seams."""
    pairs = pairwise(edges)
    return [_span((front - 0.02, left + 0.008, low), (front, right - 0.008, high)) for left, right in pairs]


def _kitchen() -> list[Part]:
    edges = [-1.8, -1.35, -0.9, -0.45, 0.0, 0.45, 0.9, 1.35, 1.8]
    handles: list[Shape] = [
        _span((-1.346, y, 0.6), (-1.33, y + 0.014, 0.78))
        for edge in edges[1:-1:2]
        for y in (edge - 0.1, edge + 0.09)
    ]
    carcass: list[Shape] = [
        _span((-1.95, -1.8, 0.0), (-1.37, 1.8, 0.86)),
        _span((-1.95, -1.8, 0.87), (-1.33, 1.8, 0.9), splits=4),
        _span((-1.95, -1.8, 0.9), (-1.93, 1.8, 1.5), splits=4),
        _span((-1.95, -1.8, 1.52), (-1.63, 1.8, 2.49)),
    ]
    upper = _doors(-1.61, 1.53, 2.49, edges[:4]) + _doors(-1.61, 1.53, 2.49, edges[5:])
    lower = _doors(-1.35, 0.08, 0.85, edges)
    hood = _span((-1.7, -0.43, 1.5), (-1.58, 0.43, 1.7))
    hob: list[Shape] = [_span((-1.93, -0.4, 0.9), (-1.37, 0.4, 0.915))]
    pot = Lathe([(0.1, 0.93), (0.1, 1.07), (0.09, 1.07), (0.09, 0.95), (0, 0.95)], centre=(-1.55, 0.25, 0))
    kettle = Lathe([(0.09, 0.9), (0.06, 1.1), (0, 1.12)], centre=(-1.85, -0.85, 0))
    fridge = _span((-1.97, -2.83, 0.0), (-1.53, -1.97, 1.774))
    return [
        Part(COAL, [*carcass, kettle]),
        Part(OLIVE, lower + upper),
        Part(CREAM, [hood]),
        Part(SHELF_SIDE, hob),
        Part(CHROME, [*handles, pot]),
        Part(FRIDGE, [fridge]),
    ]


def _living_room() -> list[Part]:
    panel = _span((-1.91, -1.0, 0.36), (-1.88, 1.0, 1.66), splits=4)
    dark: list[Shape] = [
        _span((-1.91, -1.155, 0.29), (-1.56, 1.155, 0.34)),
        _span((-1.88, -0.16, 0.34), (-1.7, 0.16, 0.48)),
        *(_span((-1.9, side - 0.03, 0.34), (-1.84, side + 0.03, 1.596)) for side in (-0.78, 0.78)),
    ]
    television = _span((-1.8, -0.47, 0.48), (-1.76, 0.47, 1.05))
    boxes: list[Shape] = [
        _span((-1.86, side - 0.08, 0.78), (-1.7, side + 0.08, 0.9)) for side in (-0.72, 0.72)
    ]
    ledges: list[Shape] = [
        _span((-1.9, side - 0.22, z), (-1.68, side + 0.22, z + 0.015))
        for side in (-0.85, 0.85)
        for z in (0.75, 1.08)
    ]
    painting = _span((-1.95, 0.149, 0.957), (-1.946, 1.012, 1.966))
    return [
        Part(PANEL, [panel], "living_room"),
        Part(COAL, dark),
        Part(SCREEN, [television]),
        Part(TERRACOTTA, [*boxes, _span((-1.9, 0.15, 0.02), (-1.75, 0.9, 0.2))]),
        Part(SHELF, ledges),
        Part(PANEL, [painting], "wall_decoration"),
    ]


def _study() -> list[Part]:
    upright: list[Shape] = [
        *(_span((-1.87, y, 0.0), (-1.555, y + 0.04, 1.793)) for y in (-1.606, -1.0, -0.423)),
    ]
    boards: list[Shape] = [
        *(_span((-1.865, -1.6, z), (-1.56, -0.39, z + 0.035)) for z in (0.05, 0.46, 0.87, 1.3, 1.755)),
        _span((-1.87, -1.6, 0.0), (-1.86, -0.39, 1.79)),
    ]
    trunk = Bar([(-1.82, 0.57, 0.12), (-1.82, 0.55, 0.75)], 0.05)
    branch = Bar([(-1.8, 0.66, 0.12), (-1.8, 0.68, 0.5)], 0.035)
    leaves: list[Shape] = [
        leaf for x, y, z in ((-1.82, 0.55, 0.74), (-1.8, 0.68, 0.49)) for leaf in _leaves(x, y, z)
    ]
    pot = Lathe([(0.1, 0), (0.13, 0.22), (0.11, 0.22), (0.1, 0.18), (0, 0.18)], centre=(-1.82, 0.57, 0))
    shade = Lathe([(0.125, 1.38), (0.05, 1.628), (0, 1.628)], centre=(0.3, -0.32, 0))
    stand: list[Shape] = [
        Bar([(0.3, -0.76, 0.9), (0.3, -0.72, 1.62), (0.3, -0.32, 1.62)], 0.02),
        Lathe([(0.1, 0.885), (0.1, 0.91), (0, 0.91)], centre=(0.3, -0.76, 0)),
    ]
    return [
        Part(SHELF, boards, "office_book_shelf"),
        Part(SHELF_SIDE, upright),
        Part(COAL, [_span((-1.82, -0.526, 0.905), (-1.622, -0.48, 1.142))], "black_book_1"),
        Part(COAL, [_span((-1.82, -0.476, 0.905), (-1.622, -0.43, 1.142))], "black_book_2"),
        Part(LEAF, leaves, "plant"),
        Part(BARK, [trunk, branch]),
        Part(PANEL, [pot]),
        *_painting(),
        Part(LAMP, [shade]),
        Part(COAL, stand),
    ]


def _leaves(x: float, y: float, z: float) -> list[Shape]:
    tips = [
        (0.16, 0.1, 0.3),
        (-0.1, 0.2, 0.24),
        (0.12, -0.16, 0.32),
        (0.18, 0.16, 0.05),
        (0.14, -0.2, 0.08),
        (0, 0, 0.4),
    ]
    return [Bar([(x, y, z), (x + dx, y + dy, z + dz)], 0.025) for dx, dy, dz in tips]


def _painting() -> list[Part]:
    areas: list[tuple[Colour, float, float, float, float]] = [
        ((0.2, 0.27, 0.33), 0.005, 0.984, 1.0, 1.979),
        ((0.68, 0.5, 0.06), 0.4, 0.9, 1.27, 1.97),
        ((0.3, 0.04, 0.06), 0.03, 0.33, 1.36, 1.97),
        ((0.65, 0.1, 0.02), 0.03, 0.33, 1.02, 1.33),
    ]
    names = ["study_wall_painging", "", "", ""]  # LIBERO's own spelling
    return [
        Part(colour, [_span((-1.948, left, low), (-1.92 + 0.004 * depth, right, high))], name)
        for depth, ((colour, left, right, low, high), name) in enumerate(zip(areas, names, strict=True))
    ]


KITCHEN = _kitchen()
LIVING_ROOM = _living_room()
STUDY = _study()
