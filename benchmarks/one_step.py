"""Run one training step of five cases on a GPU: ``ncu python benchmarks/one_step.py``."""

import torch

from tritonbn import LocalBN
from tritonbn.bench.cases import BFLOAT16, CHANNELS_LAST, CONTIGUOUS, FLOAT32, Input, segments_of
from tritonbn.bench.passes import Buffers

CASES = (
    (FLOAT32, CONTIGUOUS, "32 nearest"),
    (FLOAT32, CONTIGUOUS, "per cell"),
    (BFLOAT16, CONTIGUOUS, "32 nearest"),
    (BFLOAT16, CONTIGUOUS, "per cell"),
    (FLOAT32, CHANNELS_LAST, "32 nearest"),
)


def main() -> None:
    """Run the steps at (128, 64, 32, 32)."""
    device = torch.device("cuda")
    for dtype, memory_format, segments in CASES:
        case = Input((128, 64, 32, 32), dtype, memory_format)
        layer = LocalBN(64, segments_of(segments, case.grid), device=device)
        Buffers(case, device).step(layer, 0)
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
