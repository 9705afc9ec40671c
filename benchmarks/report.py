"""What every benchmark prints: a table for people, then one JSON object on the last line for programs.

In: rows of one run, each a figure with its target. Out: text on stdout.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NAME_WIDTH = 56
MARKS = {True: "ok  ", False: "MISS", None: "-   "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    name: str
    value: float | None
    """None if it could not be measured here; the note says why."""
    target: str
    ok: bool | None
    """None where there is no target, or no value."""
    note: str = ""


def at_least(name: str, value: float, bound: float, note: str = "") -> Row:
    return Row(name=name, value=value, target=f">= {bound:g}", ok=value >= bound, note=note)


def below(name: str, value: float, bound: float, note: str = "") -> Row:
    return Row(name=name, value=value, target=f"< {bound:g}", ok=value < bound, note=note)


def reported(name: str, value: float, note: str = "") -> Row:
    """A figure without a target."""
    return Row(name=name, value=value, target="", ok=None, note=note)


def not_measured(name: str, why: str) -> Row:
    return Row(name=name, value=None, target="", ok=None, note=f"not measured: {why}")


def print_rows(rows: Iterable[Row]) -> None:
    for row in rows:
        figure = "" if row.value is None else f"{row.value:.4g}"
        print(f"{MARKS[row.ok]} {row.name:<{NAME_WIDTH}} {figure:>10} {row.target:<8} {row.note}", flush=True)


def print_report(benchmark: str, rows: Sequence[Row]) -> None:
    print()
    print_rows(rows)
    figures = [{"name": row.name, "value": row.value, "target": row.target, "ok": row.ok} for row in rows]
    print(json.dumps({"benchmark": benchmark, "rows": figures}), flush=True)
