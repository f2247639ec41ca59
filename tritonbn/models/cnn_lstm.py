"""CNN-LSTM interpolation network: a CNN at each time, an LSTM over the times, a dense head."""

from typing import Any

from torch import Tensor, nn

from tritonbn.models.cnn import CNN
from tritonbn.models.head import DenseHead, without_autocast
from tritonbn.models.norm import Norm
from tritonbn.segments import Segments


class CNNLSTM(CNN):
    """Interpolate with a CNN and an LSTM.

    At each time the last hidden layer of `CNN` is reduced to one channel by a 1x1 convolution and a
    sigmoid. An LSTM reads these grids, and dense layers compute the field from its last state.

    Parameters
    ----------
    channels : int
        Number of channels of the hidden layers. Default 64.
    norm : {"none", "global", "local", "local-batch", "offset"} or callable
        The normalization of the last hidden layer, with statistics over all times, as in
        `build_model`. Default ``"none"``.
    segments : Segments, tensor of ids or (height, width)
        The partition of the grid; its shape alone means one segment per cell. Always needed.
    in_channels : int
        Number of input channels at each time. Default 1, the readings.
    memory : int
        Size of the hidden state of the LSTM. Default 256.
    **options
        `hidden` and `dropout` of `DenseHead`, `norm_after` and `embedding` of `CNN`.

    Raises
    ------
    ValueError
        If `norm` is unknown or `segments` are missing.

    References
    ----------
    Le, Cha, "Real-time air pollution prediction model based on spatiotemporal big data", BIC 2018,
    https://arxiv.org/abs/1805.00432. The paper gives no layer sizes; the defaults are ours.

    Examples
    --------
    >>> import torch
    >>> from tritonbn.models import CNNLSTM
    >>> model = CNNLSTM(4, "local", (8, 8), memory=16, hidden=20)
    >>> model(torch.zeros(2, 3, 1, 8, 8)).shape  # three times
    torch.Size([2, 1, 8, 8])
    """

    head: DenseHead

    def __init__(
        self,
        channels: int = 64,
        norm: Norm = "none",
        segments: Segments | Tensor | tuple[int, int] | None = None,
        *,
        in_channels: int = 1,
        memory: int = 256,
        **options: Any,
    ) -> None:
        super().__init__(
            1, channels, norm, segments, in_channels=in_channels, inputs=memory, **options
        )
        height, width = self.head.grid
        self.lstm = nn.LSTM(height * width, memory, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the field, (N, 1, H, W) float, from `x`, (N, T, in_channels, H, W)."""
        channels = self.shape[1]
        if x.dim() != 5 or x.shape[1] == 0 or x.shape[2] != channels:
            raise ValueError(
                f"x must be (N, T, {channels}, H, W) with T at least 1, got {tuple(x.shape)}"
            )
        inputs = self._inputs(x.flatten(0, 1)[:, None])  # (N T, C, H, W)
        h = self._normalize(self._convolve(self._features(inputs)))  # (N T, channels, H, W)
        squeezed = self.head.squeeze(h)
        cells = squeezed.view(*x.shape[:2], squeezed.shape[1])  # (N, T, H W)
        with without_autocast(x.device):
            times, _ = self.lstm(cells)  # (N, T, memory)
        return self.head.expand(times[:, -1])  # (N, 1, H, W)
