"""Settings of a run: dataclass defaults, then a YAML file of differences, then `key=value` words.

In: a path and words from the command line. Out: a checked `core.config.Config`, or a `ValueError` that
names the nearest right key or value. A setting that would have no effect is refused.
"""

import dataclasses
import difflib
import os
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from core.config import Config
from core.rules import check_effect, check_values


def split(said: Sequence[str]) -> tuple[list[str], list[str]]:
    """Settings files, and the other words."""
    files = [word for word in said if word.endswith((".yaml", ".yml")) and "=" not in word]
    return files, [word for word in said if word not in files]


def load(path: Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """Settings of a new run. The file's keys must have an effect in the file, the words' in both together.

    So a word may switch off what the file then sets in vain.
    """
    file = _read_file(path) if path else OmegaConf.create()
    words = _read_words(overrides)
    config = _merge(file, words)
    check_effect(_merge(file), _keys(file))
    check_effect(config, _keys(words))
    return config


def load_resolved(path: Path, overrides: Iterable[str] = (), file: Path | None = None) -> Config:
    """Settings of an existing run, changed by a file and by words.

    What it was begun with names every key, so only the words must have an effect.
    """
    words = _read_words(overrides)
    config = _merge(_read_file(path), *([_read_file(file)] if file else []), words)
    check_effect(config, _keys(words))
    return config


def changes(before: Config, after: Config) -> list[str]:
    """Every setting that differs, with both values."""
    old, new = _plain(dataclasses.asdict(before)), _plain(dataclasses.asdict(after))
    return [
        f"{section}.{name}: {value} -> {new[section][name]}"
        for section, part in old.items()
        for name, value in part.items()
        if value != new[section][name]
    ]


def save(config: Config, path: Path) -> None:
    """Write every setting with its resolved value; appears whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(to_yaml(config))
    os.replace(temporary, path)


def to_yaml(config: Config) -> str:
    """Every setting with its value, as a settings file."""
    return OmegaConf.to_yaml(OmegaConf.create(_plain(dataclasses.asdict(config))))


def known_keys() -> list[str]:
    """Every `section.name` there is."""
    return [f"{section}.{name}" for section, part in dataclasses.asdict(Config()).items() for name in part]


def _read_file(path: Path) -> DictConfig:
    if not path.is_file():
        there = ", ".join(sorted(str(p) for p in Path("experiments").glob("*.yaml"))) or "none"
        raise ValueError(f"no settings file {path}; in experiments/ there are: {there}")
    try:
        content = OmegaConf.load(path)
    except YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    except OSError as error:  # also what OmegaConf raises for a file that holds a mere number
        raise ValueError(f"{path} does not hold settings: {error}") from error
    if not isinstance(content, DictConfig):
        raise ValueError(f"{path} must hold sections such as `learner:`, got a list")
    return content


def _read_words(words: Iterable[str]) -> DictConfig:
    read = OmegaConf.create()
    for word in words:
        if "=" not in word:
            raise ValueError(f"{word!r} is neither a .yaml file nor key=value (as in learner.lr=1e-4)")
        try:
            read.merge_with_dotlist([word])
        except YAMLError as error:
            raise ValueError(f"{word!r}: what follows the = is not YAML: {error}") from error
    return read


def _merge(*layers: DictConfig) -> Config:
    for layer in layers:
        _refuse_unknown(_keys(layer))
    merged = OmegaConf.structured(Config)
    for layer in layers:
        for key in _keys(layer):
            _assign(merged, key, OmegaConf.select(layer, key))
    config = OmegaConf.to_object(merged)
    assert isinstance(config, Config)
    check_values(config)
    return config


def _assign(merged: DictConfig, key: str, value: Any) -> None:
    if value is None and isinstance(_default(key), str):
        value = ""  # `key=` takes a text away
    try:
        OmegaConf.update(merged, key, value)
    except OmegaConfBaseException as error:
        raise ValueError(f"{key}={value}: {_explain(key, value, error)}") from error


def _explain(key: str, value: Any, error: OmegaConfBaseException) -> str:
    default = _default(key)
    if not isinstance(default, Enum):
        return f"expected {_kind(default)}, as in {key}={_plain(default)}; got {value!r}"
    allowed = [member.value for member in type(default)]
    return f"allowed are {', '.join(allowed)}{_nearest(str(value), allowed)}"


def _default(key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(Config(), section), name)


def _kind(default: Any) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", list: "a list"}.get(
        type(default), "a text"
    )


def _refuse_unknown(keys: list[str]) -> None:
    known = known_keys()
    for key in keys:
        if key not in known:
            raise ValueError(f"there is no setting {key!r}{_nearest(key, known)} (`vlarl config` lists them)")


def _nearest(word: str, allowed: list[str]) -> str:
    """Close spellings, and the same last name in other sections."""
    same_name = [key for key in allowed if key.split(".")[-1] == word.split(".")[-1]]
    close = difflib.get_close_matches(word.lower(), allowed, n=2)
    found = dict.fromkeys(close + same_name)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _keys(layer: DictConfig) -> list[str]:
    """`section.name` of every leaf; a section without names counts as one, so that it can be refused."""
    keys = []
    for section, part in layer.items():
        if isinstance(part, DictConfig):
            keys += [f"{section!s}.{name!s}" for name in part]
        else:
            keys.append(str(section))
    return keys


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
