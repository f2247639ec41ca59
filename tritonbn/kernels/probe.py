"""A kernel that does nothing of use: where it runs, the others compile and run, too."""

import torch
import triton
import triton.language as tl


@triton.jit
def _write_one(out):  # type: ignore[no-untyped-def]
    tl.store(out, 1)


def run(device: torch.device) -> None:
    """Compile and launch on a GPU, and raise what Triton raises if it cannot."""
    out = torch.zeros(1, device=device, dtype=torch.int32)
    with torch.cuda.device(device):
        _write_one[(1,)](out)
    if out.item() != 1:
        raise RuntimeError("a kernel was launched and did not write")
