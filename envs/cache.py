"""Where generated files live: one folder per user, safe with many processes at once.

In: a name. Out: a path under $VLARL_CACHE (default ~/.cache/vlarl), written whole or not at all.
"""

import os
import tempfile
from pathlib import Path


def cache_folder(name: str) -> Path:
    """`name` inside the user's cache, created if absent."""
    root = os.environ.get("VLARL_CACHE") or Path.home() / ".cache" / "vlarl"
    folder = Path(root) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_once(path: Path, content: bytes) -> None:
    """Makes `path` hold `content`; a reader in another process sees all of it or none."""
    if path.exists() and path.read_bytes() == content:
        return
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        file.write(content)
    os.replace(file.name, path)
