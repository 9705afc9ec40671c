"""What is wrong with these documents: links and anchors that lead nowhere, and names that do not exist.

In: Markdown files. Out: one line per mistake. Links to other machines are not followed.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from cli.main import COMMANDS
from core.config import Config
from core.settings import known_keys

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", flags=re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|[\s`])vlarl ([a-z][a-z-]*)")
SETTING = re.compile(r"(?<![\w./-])([a-z]+)\.([a-z_]+)(?==|$)")
FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)+\.(?:py|md|yaml|toml|sbatch|sh)|[\w.-]+(?:/[\w.-]+)*/")


def documents() -> list[Path]:
    """Everything that is read by people."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "demo/README.md"]


def problems(files: Iterable[Path]) -> list[str]:
    """One line per mistake, with its file."""
    found = []
    for file in files:
        text = file.read_text()
        prose = FENCE.sub("", text)
        mistakes = [*_broken_links(file, prose), *_wrong_names(text, prose)]
        found += [f"{file.relative_to(ROOT)}: {mistake}" for mistake in mistakes]
    return found


def anchors(text: str) -> set[str]:
    """Of a document's headings, by the rule that GitHub uses."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken_links(file: Path, prose: str) -> Iterator[str]:
    for link in LINK.finditer(prose):
        target, _, anchor = link["target"].partition("#")
        if target.startswith(("https://", "mailto:")):
            continue
        path = (file.parent / target).resolve() if target else file
        if not path.exists():
            yield f"the link to {link['target']} leads nowhere"
        elif anchor and anchor not in anchors(path.read_text()):
            yield f"{target or file.name} has no heading #{anchor}"


def _wrong_names(text: str, prose: str) -> Iterator[str]:
    """Commands anywhere; settings and files where they stand in code."""
    for name in sorted({command for command in COMMAND.findall(text) if command not in COMMANDS}):
        yield f"there is no command `vlarl {name}`"
    sections, keys = vars(Config()), set(known_keys())
    for code in sorted(set(CODE.findall(prose))):
        for section, name in SETTING.findall(code):
            if section in sections and f"{section}.{name}" not in keys:
                yield f"there is no setting `{section}.{name}`"
        top = code.split("/")[0]
        if FILE.fullmatch(code) and (ROOT / top).exists() and not (ROOT / code).exists():
            yield f"there is no file `{code}`"
