"""Descriptions in, MJCF elements and mesh files out.

What is seen (`Part`: a colour and its shapes) and what is touched (rows of `boxes.csv`) are kept apart, as in
LIBERO's own files: geom group 1 is visible and touches nothing, group 0 carries mass and contacts and is not
drawn. The boxes and regions in the table are LIBERO's figures, so that objects weigh, slide and settle as
with its own assets.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from envs.primitives.shapes import Box, Point, Quaternion, Shape, merge, to_msh

Element = ElementTree.Element
Colour = tuple[float, ...]
"""Red, green, blue and, if the part is transparent, alpha; each 0 to 1."""

SURFACE = {"solimp": "0.998 0.998 0.001", "solref": "0.001 1", "density": "100", "friction": "0.95 0.3 0.1"}
UNTOUCHABLE = {"contype": "0", "conaffinity": "0", "group": "1"}
TABLE = Path(__file__).with_name("boxes.csv")


@dataclass(frozen=True)
class Row:
    """One line of the table: a collision box, or the region of a site where `site` is named."""

    model: str
    body: str
    site: str
    centre: Point
    quat: Quaternion
    half: Point


@dataclass(frozen=True)
class Part:
    """Everything of one colour on one body: one mesh, one draw call."""

    colour: Colour
    shapes: Sequence[Shape]
    name: str = ""
    """Name of the geom where LIBERO's has one."""


@dataclass
class MeshStore:
    """Collects the mesh files of one MJCF file and declares them in its asset section."""

    asset: Element
    folder: str
    """Where the meshes lie, relative to the MJCF file."""
    prefix: str
    """How their names begin."""
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, shapes: Iterable[Shape]) -> str:
        """The name of a new mesh made of these shapes."""
        name = f"{self.prefix}_{len(self.files)}"
        path = f"{self.folder}/{name}.msh"
        self.files[path] = to_msh(merge(shape.mesh() for shape in shapes))
        # Open shells have no volume; MuJoCo wants to know that that is meant.
        add(self.asset, "mesh", name=name, file=path, inertia="shell")
        return name


@cache
def _table() -> tuple[Row, ...]:
    with TABLE.open(newline="") as lines:
        return tuple(_row(line) for line in csv.DictReader(lines))


def _row(line: dict[str, str]) -> Row:
    x, y, z = (float(line[key]) for key in ("x", "y", "z"))
    hx, hy, hz = (float(line[key]) for key in ("hx", "hy", "hz"))
    qw, qx, qy, qz = (float(line[key]) for key in ("qw", "qx", "qy", "qz"))
    return Row(line["model"], line["body"], line["site"], (x, y, z), (qw, qx, qy, qz), (hx, hy, hz))


def rows(model: str, body: str = "object") -> list[Row]:
    """The table's rows for one body."""
    return [row for row in _table() if row.model == model and row.body == body]


def collision_shapes(model: str, body: str = "object") -> list[Shape]:
    """The collision boxes as visible shapes, for things that are made of boxes anyway."""
    return [Box(row.centre, row.half, row.quat) for row in rows(model, body) if not row.site]


def numbers(values: Iterable[float]) -> str:
    """Values as an MJCF attribute, in the shortest form that reads back the same."""
    return " ".join(f"{value:.10g}" for value in values)


def add(parent: Element, tag: str, **attributes: str) -> Element:
    """A new element below `parent`."""
    return ElementTree.SubElement(parent, tag, attributes)


def add_parts(body: Element, meshes: MeshStore, parts: Iterable[Part], **place: str) -> None:
    """Visible geoms, one for each part."""
    for part in parts:
        geom = {
            "type": "mesh",
            "mesh": meshes.add(part.shapes),
            "rgba": rgba(part.colour),
            **UNTOUCHABLE,
            **place,
        }
        if part.name:
            geom["name"] = part.name
        add(body, "geom", **geom)


def add_table_rows(body: Element, model: str, body_name: str = "object") -> None:
    """The collision boxes and regions of one body."""
    for row in rows(model, body_name):
        place = {
            "pos": numbers(row.centre),
            "quat": numbers(row.quat),
            "size": numbers(row.half),
            "group": "0",
        }
        if row.site:
            add(body, "site", type="box", name=row.site, rgba="0 0 0 0", **place)
        else:
            add(body, "geom", type="box", rgba="0.8 0.8 0.8 0.3", **SURFACE, **place)


def add_extent_sites(body: Element, bottom: float, top: float, radius: float) -> None:
    """The three sites from which robosuite reads an object's size for placing it."""
    places = {
        "bottom_site": (0, 0, bottom),
        "top_site": (0, 0, top),
        "horizontal_radius_site": (radius, radius, 0),
    }
    for name, pos in places.items():
        add(body, "site", name=name, pos=numbers(pos), size="0.005", rgba="0 0 0 0")


def rgba(colour: Colour) -> str:
    """A colour as an MJCF attribute, opaque unless it says otherwise."""
    return numbers((*colour, 1.0)[:4])


def new_model(name: str) -> tuple[Element, Element, Element]:
    """An empty MJCF document: its root, asset section and world body."""
    root = Element("mujoco", model=name)
    return root, add(root, "asset"), add(root, "worldbody")


def to_bytes(root: Element) -> bytes:
    """The document as indented text."""
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8") + b"\n"
