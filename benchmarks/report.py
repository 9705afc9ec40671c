"""What every benchmark prints: a table for people, then one JSON object on the last line for programs.

In: rows of one run, each a figure with its target. Out: text on stdout.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    name: str
    value: float | None
    """None if it could not be measured here; the note says why."""
    target: str
    ok: bool | None
    """None exactly when there is no value."""
    note: str = ""


def at_least(name: str, value: float, bound: float, note: str = "") -> Row:
    return Row(name=name, value=value, target=f">= {bound:g}", ok=value >= bound, note=note)


def below(name: str, value: float, bound: float, note: str = "") -> Row:
    return Row(name=name, value=value, target=f"< {bound:g}", ok=value < bound, note=note)


def not_measured(name: str, why: str) -> Row:
    return Row(name=name, value=None, target="", ok=None, note=f"not measured: {why}")


def print_report(benchmark: str, rows: Iterable[Row]) -> None:
    rows = list(rows)
    width = max(len(row.name) for row in rows)
    print()
    for row in rows:
        print(f"{_mark(row)} {row.name:<{width}} {_figure(row.value):>10} {row.target:<10} {row.note}")
    figures = [{"name": row.name, "value": row.value, "target": row.target, "ok": row.ok} for row in rows]
    print(json.dumps({"benchmark": benchmark, "rows": figures}), flush=True)


def _mark(row: Row) -> str:
    return {True: "ok  ", False: "MISS", None: "-   "}[row.ok]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
