"""A minimal kernel that tests whether Triton can compile and launch on a GPU."""

import torch
import triton
import triton.language as tl


@triton.jit
def _write_one(out):  # type: ignore[no-untyped-def]
    tl.store(out, 1)


def run(device: torch.device) -> None:
    """Compile and launch the kernel on a GPU; errors of Triton are passed on."""
    out = torch.zeros(1, device=device, dtype=torch.int32)
    with torch.cuda.device(device):
        _write_one[(1,)](out)
    if out.item() != 1:
        raise RuntimeError("a test kernel was launched but did not write its result")
