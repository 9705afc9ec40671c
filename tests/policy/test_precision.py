"""Products in bfloat16 only where they are faster."""

import pytest
import torch

from policy.precision import half_products


@pytest.mark.parametrize(
    ("instructions", "wanted", "dtype"),
    [
        ({"avx512_bf16": True}, True, torch.bfloat16),
        ({"amx_bf16": True}, True, torch.bfloat16),
        ({"amx_bf16": True}, False, torch.float32),
        ({"avx512_bf16": False, "amx_bf16": False, "avx2": True}, True, torch.float32),
        ({}, True, torch.float32),
    ],
)
def test_only_where_the_cpu_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool], wanted: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    with half_products("cpu", wanted):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_the_names_are_those_that_torch_knows() -> None:
    if torch.cpu.get_capabilities()["architecture"] != "x86_64":
        pytest.skip("other processors have other instructions")
    assert {"avx512_bf16", "amx_bf16"} <= set(torch.cpu.get_capabilities())
