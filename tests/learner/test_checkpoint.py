"""Checkpoint folders: whole or absent, pruned, and passed over when damaged."""

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from learner.checkpoint import find_checkpoint, list_checkpoints, write_checkpoint


def write_some(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "weights").write_bytes(bytes(range(200)))
    (folder / "state.json").write_text("{}")


def truncate(folder: Path) -> None:
    file = folder / "inner" / "weights"
    file.write_bytes(file.read_bytes()[:100])


def flip_a_bit(folder: Path) -> None:
    file = folder / "inner" / "weights"
    content = bytearray(file.read_bytes())
    content[7] ^= 1
    file.write_bytes(content)


def remove_a_file(folder: Path) -> None:
    (folder / "state.json").unlink()


def remove_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def garble_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"files": ')


def test_round_trip_prune_and_last(tmp_path: Path) -> None:
    for number in (1, 2, 30):
        write_checkpoint(tmp_path, number, write_some, keep=2)
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["000002", "000030"]
    assert (tmp_path / "last").resolve().name == "000030"
    found = find_checkpoint(tmp_path)
    assert found.folder == tmp_path / "000030"
    assert found.damaged == []
    assert (found.folder / "inner" / "weights").read_bytes() == bytes(range(200))


def test_weights_that_find_no_room_are_an_os_error(tmp_path: Path) -> None:
    """safetensors has an exception of its own for that, but what a run survives is an `OSError`."""

    def write(folder: Path) -> None:
        save_file({"a": np.zeros(100_000)}, folder / "weights")

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_checkpoint(tmp_path, 1, write, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_find(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path / "absent").folder is None


@pytest.mark.parametrize(
    "damage", [truncate, flip_a_bit, remove_a_file, remove_the_manifest, garble_the_manifest]
)
def test_a_damaged_one_falls_back_and_says_so(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    for number in (1, 2):
        write_checkpoint(tmp_path, number, write_some, keep=3)
    damage(tmp_path / "000002")
    found = find_checkpoint(tmp_path)
    assert found.folder == tmp_path / "000001"
    assert len(found.damaged) == 1
    assert found.damaged[0].startswith("000002: ")
    damage(tmp_path / "000001")
    assert find_checkpoint(tmp_path).folder is None


def test_a_writer_that_dies_leaves_no_checkpoint(tmp_path: Path) -> None:
    def die_half_way(folder: Path) -> None:
        write_some(folder)
        raise KeyboardInterrupt

    write_checkpoint(tmp_path, 1, write_some, keep=3)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(tmp_path, 2, die_half_way, keep=3)
    assert find_checkpoint(tmp_path).folder == tmp_path / "000001"
    assert (tmp_path / "last").resolve().name == "000001"
    write_checkpoint(tmp_path, 2, write_some, keep=3)
    leftovers = [f.name for f in tmp_path.iterdir() if f.name not in ("000001", "000002", "last")]
    assert leftovers == []


@pytest.mark.parametrize("keep", [1, 3])
def test_damaged_ones_of_higher_numbers_do_not_push_new_ones_out(tmp_path: Path, keep: int) -> None:
    """A run that fell back and goes on writes lower numbers for a while."""
    for number in (180, 190, 200):
        write_checkpoint(tmp_path, number, write_some, keep=3)
    for number in (190, 200):
        flip_a_bit(tmp_path / f"{number:06d}")
    write_checkpoint(tmp_path, 185, write_some, keep=keep)
    kept = [folder.name for folder in list_checkpoints(tmp_path)]
    assert kept == (["000185"] if keep == 1 else ["000180", "000185"])
    assert (tmp_path / "last").resolve().name == "000185"
    assert find_checkpoint(tmp_path).damaged == []


def test_the_same_number_again_replaces_it(tmp_path: Path) -> None:
    """A run resumed from before a damaged checkpoint comes by its number once more."""
    write_checkpoint(tmp_path, 1, write_some, keep=3)
    flip_a_bit(tmp_path / "000001")
    write_checkpoint(tmp_path, 1, write_some, keep=3)
    assert find_checkpoint(tmp_path).damaged == []
