"""The parts of these documents that are made from code: settings, metrics, commands.

In: the code. Out: Markdown for every `<!-- generated: NAME -->` ... `<!-- end -->` in a document.
"""

import argparse
import dataclasses
import importlib
import re
from collections.abc import Iterator

from cli.config import described
from cli.main import COMMANDS
from core.config import Config
from core.metric_names import METRICS
from learner.metrics import METRICS as LEARNER_METRICS

SECTIONS = {
    "Rollouts": ("rollout", "curriculum", "buffer"),
    "Reward model": ("reward",),
    "Learner": ("learner",),
    "Weights": ("weights",),
    "Time and memory": ("time", "memory"),
    "Failures, since the start of this process": ("faults",),
}
BLOCK = re.compile(r"<!-- generated: (?P<name>\w+) -->\n.*?<!-- end -->", flags=re.DOTALL)


def fill(text: str) -> str:
    """The document with all its generated parts made anew."""
    makers = {"settings": _settings, "commands": _commands, "metrics": _metrics}

    def made(block: re.Match[str]) -> str:
        name = block["name"]
        return f"<!-- generated: {name} -->\n\n" + "\n".join(makers[name]()) + "\n\n<!-- end -->"

    return BLOCK.sub(made, text)


def _settings() -> Iterator[str]:
    """One table a section: key, default, meaning."""
    for section in dataclasses.fields(Config):
        yield f"## {section.name}\n"
        yield "| setting | default | meaning |\n|---|---|---|"
        for setting in described(section.name):
            default = f"`{setting.default}`" if setting.default else "(empty)"
            choices = (
                f"; or {', '.join(f'`{choice}`' for choice in setting.choices)}" if setting.choices else ""
            )
            yield f"| `{setting.key}` | {default}{choices} | {setting.meaning} |"
        yield ""


def _metrics() -> Iterator[str]:
    """One table for each first word of the names."""
    metrics = METRICS | LEARNER_METRICS
    for title, prefixes in SECTIONS.items():
        yield f"## {title}\n\n| name | meaning |\n|---|---|"
        for name, meaning in metrics.items():
            if name.split("/")[0] in prefixes:
                yield f"| `{name}` | {_cell(meaning)} |"
        yield ""


def _commands() -> Iterator[str]:
    """What every command says of itself."""
    for name, about in COMMANDS.items():
        module = importlib.import_module(f"cli.{name}")
        parser = argparse.ArgumentParser(prog=f"vlarl {name}")
        module.add_arguments(parser)
        yield f"## vlarl {name}\n\n{about[0].upper()}{about[1:]}.\n"
        yield f"```text\n{str(module.__doc__).strip()}\n```\n"
        yield from _options(parser, "")


def _options(parser: argparse.ArgumentParser, command: str) -> Iterator[str]:
    """A table of all that the parser knows, then one for each of its commands."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    told = [action for action in parser._actions if action not in groups and action.dest != "help"]
    if told:
        rows = [f"| `{_flag(action)}` | {_help(action)} |" for action in told]
        yield "\n".join([f"| {command or 'option'} | meaning |", "|---|---|", *rows, ""])
    for group in groups:
        for name, child in group.choices.items():
            yield from _options(child, f"`{name}`")


def _flag(action: argparse.Action) -> str:
    words = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    if not action.option_strings or action.nargs == 0:
        return _cell(words)
    value = "|".join(action.choices) if action.choices else action.metavar or action.dest.upper()
    return _cell(f"{words} {value}")


def _help(action: argparse.Action) -> str:
    if action.help is None:
        raise ValueError(f"{_flag(action)} has no help")
    value = f" (default {_default(action.default)})" if _has_default(action) else ""
    return _cell(action.help % {"default": action.default} + value)


def _has_default(action: argparse.Action) -> bool:
    """One that is worth a word: it stands for something, and the help does not name it already."""
    assert action.help is not None
    is_value = action.default is not None and not isinstance(action.default, bool | list)
    return bool(action.option_strings) and is_value and action.default != "" and "default" not in action.help


def _default(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    """As it may stand in a table."""
    return text.replace("|", "\\|")
