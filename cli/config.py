"""Show every setting, its default and its meaning; or what a file and words come to.

vlarl config                                              all settings
vlarl config learner                                      those of one section
vlarl config experiments/tiny_cpu.yaml learner.lr=1e-5    check them and print the resolved file
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="SECTION | FILE.yaml | key=value", help="all of it without"
    )


def run(args: argparse.Namespace) -> int:
    from core import settings

    files, words = settings.split(args.words)
    if files or any("=" in word for word in words):
        if len(files) > 1:
            raise ValueError(f"give one settings file, got {', '.join(files)}")
        print(settings.to_yaml(settings.load(Path(files[0]) if files else None, words)), end="")
        return 0
    for section in words or _sections():
        print("\n".join([f"\n{section}", *map(_line, described(section))]))
    return 0


def _sections() -> list[str]:
    import dataclasses

    from core.config import Config

    return [field.name for field in dataclasses.fields(Config)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting as a person is told of it."""

    key: str
    default: str
    choices: tuple[str, ...]
    """What else it may be, where only some words are allowed."""
    meaning: str
    """The comment beside it in the source."""


def described(section: str) -> Iterator[Setting]:
    """Every setting of a section."""
    import dataclasses

    from core.config import Config

    if section not in _sections():
        raise ValueError(f"there is no section {section!r}; there are {', '.join(_sections())}")
    defaults = getattr(Config(), section)
    comments = _comments(type(defaults))
    for field in dataclasses.fields(defaults):
        default, choices = _shown(getattr(defaults, field.name))
        yield Setting(
            key=f"{section}.{field.name}",
            default=default,
            choices=choices,
            meaning=comments.get(field.name, ""),
        )


def _line(setting: Setting) -> str:
    choices = f" (or {', '.join(setting.choices)})" if setting.choices else ""
    return f"  {f'{setting.key}={setting.default}{choices}':<44} {setting.meaning}".rstrip()


def _shown(value: object) -> tuple[str, tuple[str, ...]]:
    """A default, and what else it may be."""
    from enum import Enum

    if isinstance(value, Enum):
        return value.value, tuple(member.value for member in type(value) if member is not value)
    return (str(value).lower() if isinstance(value, bool) else str(value)), ()


def _comments(section: type) -> dict[str, str]:
    """Setting to the comment at the end of its line."""
    import inspect
    import re

    lines = inspect.getsource(section).splitlines()
    matches = (re.match(r"\s+(\w+):.*?#\s*(.*)", line) for line in lines)
    return {match[1]: match[2] for match in matches if match}
