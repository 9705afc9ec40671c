"""`vlarl`: one subcommand per file of this folder. Only the chosen command's module is imported."""

import argparse
import importlib
import sys

COMMANDS = {
    "demo": "watch a tiny VLA learn on the CPU",
    "train": "improve a policy by reinforcement learning",
    "eval": "measure a policy on published initial states",
    "sft": "train a policy by imitation of demonstrations",
    "demos": "record, check and replay demonstrations of the scripted expert",
    "rprm": "label episodes for the process reward model, train it, judge it",
    "plan": "compute how many environments, replicas and learner ranks to run",
    "submit": "run training on a Ray cluster",
    "dashboard": "look at runs in a browser, while they train and after",
    "config": "show every setting, its default and its meaning",
    "doctor": "check this machine and say how to mend what is wrong",
}

INTERRUPTED = 130
"""As shells say it of a program that Ctrl-C ended."""


def main(argv: list[str] | None = None) -> int:
    """Parse only as far as the command's name, so that `vlarl --help` imports nothing heavy."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        print(f"vlarl: no command {name!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    module = importlib.import_module(f"cli.{name}")
    parser = argparse.ArgumentParser(
        prog=f"vlarl {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    try:
        return int(module.run(_parse(parser, rest)))
    except ValueError as error:  # what a user can get wrong: one clear line, no traceback
        print(f"vlarl {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nvlarl {name}: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Options may stand anywhere, also between a settings file and what changes it."""
    try:
        return parser.parse_intermixed_args(words)
    except TypeError:  # it has commands of its own, each with its options
        return parser.parse_args(words)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {about}" for name, about in COMMANDS.items()]
    return "\n".join(
        ["usage: vlarl COMMAND [options]", "", *lines, "", "`vlarl COMMAND --help` says more of each."]
    )


if __name__ == "__main__":
    sys.exit(main())
