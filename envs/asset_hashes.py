"""Hashes of a folder of fetched assets, taken when it is fetched and checked whenever it is used.

In: a folder. Out: a list of hashes in it, or a `ValueError` that names what has changed since.
"""

import hashlib
from pathlib import Path

LIST = "SHA256SUMS"


def write_hashes(folder: Path) -> None:
    """In the form that `sha256sum --check` reads."""
    lines = [f"{digest}  {name}\n" for name, digest in _hashes(folder).items()]
    (folder / LIST).write_text("".join(lines))


def check_hashes(folder: Path) -> None:
    """Refuse files that were changed, added or removed."""
    if not (folder / LIST).is_file():
        raise ValueError(f"{folder} has no list of hashes; remove it, and it is fetched again")
    lines = (line.split("  ", maxsplit=1) for line in (folder / LIST).read_text().splitlines())
    promised = {name: digest for digest, name in lines}
    there = _hashes(folder)
    odd = sorted(name for name in promised.keys() | there.keys() if promised.get(name) != there.get(name))
    if odd:
        raise ValueError(
            f"{folder} is not what was fetched: {len(odd)} files differ, first {odd[0]}. "
            "Remove the folder, and it is fetched again"
        )


def _hashes(folder: Path) -> dict[str, str]:
    """Names of all files, the hub client's own notes aside."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    names = {str(file.relative_to(folder)): file for file in files}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in names.items()
        if name != LIST and not name.startswith(".cache/")
    }
