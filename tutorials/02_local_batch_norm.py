# %% [markdown]
# # 2. Local batch normalization
#
# *한국어 요약.* 배치 정규화는 격자 전체에서 평균과 분산을 하나씩 계산합니다. 인하대학교 연구의 지역 배치 정규화는
# 격자의 칸마다 따로 계산합니다. 이 노트북은 세 가지 방법(없음, 전역, 지역)을 작은 격자에서 나란히 그리고,
# 정의를 열 줄의 코드로 쓰고, 지역 정규화가 맞지 않는 경우도 보여 줍니다.
#
# **You will learn**
# - what global and local batch normalization do to the same input
# - the definition, in ten lines of PyTorch
# - how a grid is divided into segments, what the layer keeps for evaluation, and how gradients stay inside a segment
# - when local normalization is the wrong choice, and how several levels of segments help
#
# | | |
# |---|---|
# | prerequisites | tensors in PyTorch; what `nn.BatchNorm2d` is for |
# | time | 25 minutes to read; the code takes half a minute |
# | hardware | two CPU cores and 1 GB of memory; no GPU, no network |
# | data | random numbers, and the positions of the stations of `CITY` (the committed outputs show the real Antwerp) |

# %%
import os
import sys

if "google.colab" in sys.modules:
    get_ipython().run_line_magic("pip", "install -q 'tritonbn[tutorials]==0.2.0'")

import matplotlib.pyplot as plt
import torch

from data_prep import load_city
from tritonbn import LocalBN, Segments

CITY = os.environ.get("TRITONBN_CITY", "synthetic")  # or "senseurcity-hourly", 4 MB to download

# %% [markdown]
# ## A small city
#
# Sixteen stations stand on a 4x4 grid and are measured 200 times. The readings rise from west to east, and they vary
# more in the north. The shapes of this notebook have the axes (sample N, channel C, row H, column W).

# %%
torch.manual_seed(0)
N, C, H, W = 200, 1, 4, 4
level = torch.arange(W).expand(H, W) * 10.0  # rises from west to east
spread = 1.0 + torch.arange(H)[:, None].expand(H, W)  # row 0 is in the south
x = level + spread * torch.randn(N, C, H, W)
print(f"x: N={N}, C={C}, H={H}, W={W}, mean {x.mean():.1f}, standard deviation {x.std():.1f}")

# %% [markdown]
# ## None, global, local
#
# The publication compares three networks: without normalization, with *global* batch normalization (one mean and
# variance for the whole grid) and with *local* batch normalization (one for each cell of the grid). Guess before you
# run the cell: what will the mean of each cell look like after each of them? (Each panel has its own colour scale.)

# %% mystnb={"image": {"alt": "Three 4 by 4 grids with the mean of each cell: without normalization and with global normalization they rise from west to east, with local normalization all are zero"}}
outputs = {"none": x, "global": torch.nn.BatchNorm2d(C)(x), "local": LocalBN(C, (H, W))(x)}
figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for ax, (name, y) in zip(axes, outputs.items(), strict=True):
    means = y.detach().mean(dim=(0, 1)).round(decimals=1) + 0.0  # (H, W)
    ax.imshow(means, origin="lower", cmap="Oranges", alpha=0.7)
    ax.set(title=f"{name}: means of the cells", xticks=range(W), yticks=range(H))
    for row, column in torch.cartesian_prod(torch.arange(H), torch.arange(W)).tolist():
        ax.text(column, row, f"{means[row, column]:.1f}", ha="center", va="center")

# %% [markdown]
# Global normalization shifts and scales all cells in the same way, so the differences between places remain.
# Local normalization removes them: after it, every cell has mean 0 and variance 1. What remains is how unusual a
# reading is *for its place*. The level of a place is not lost for good: the layer has a learned weight and bias for
# every segment, which can restore it.

# %%
assert abs(outputs["global"].var(correction=0) - 1) < 1e-3
assert outputs["local"].mean(dim=0).abs().max() < 1e-4
assert (outputs["local"].var(dim=0, correction=0) - 1).abs().max() < 1e-3

# %% [markdown]
# ## The definition
#
# For a channel $c$ and a segment $k$ with the values $x_1, \dots, x_m$ (those of all samples, in all cells of
# the segment),
#
# $$\mu_{ck} = \frac{1}{m} \sum_{i=1}^{m} x_i, \qquad
# \sigma^2_{ck} = \frac{1}{m} \sum_{i=1}^{m} (x_i - \mu_{ck})^2, \qquad
# y_i = \frac{x_i - \mu_{ck}}{\sqrt{\sigma^2_{ck} + \varepsilon}} \, \gamma_{ck} + \beta_{ck}.$$
#
# In PyTorch, with the segment of each cell in `ids`, of shape (H, W):


# %%
def local_norm(x, ids, weight, bias, eps=1e-5):
    y = x.clone()  # (N, C, H, W)
    for k in range(int(ids.max()) + 1):
        values = x[:, :, ids == k]  # (N, C, cells of the segment)
        var, mean = torch.var_mean(values, dim=(0, 2), correction=0, keepdim=True)  # (1, C, 1)
        scale = weight[:, k, None] / torch.sqrt(var + eps)
        y[:, :, ids == k] = (values - mean) * scale + bias[:, k, None]
    return y


segments = Segments.nearest([0, 7, 13], grid=(H, W))  # three stations
weight, bias = torch.rand(2, C, 3)
y = torch.func.functional_call(LocalBN(C, segments), {"weight": weight, "bias": bias}, x)
torch.testing.assert_close(local_norm(x, segments.ids, weight, bias), y)

# %% [markdown]
# One segment over the whole grid is `nn.BatchNorm2d`: outputs, gradients and running statistics agree up to rounding.
#
# ## Segments
#
# A `Segments` object divides the grid. These are all kinds, for the stations of the city.

# %% mystnb={"image": {"alt": "Four maps of the 32 by 32 grid coloured by segment: a single one, one per cell, one per nearest station, and one per station with all other cells in none"}}
city = load_city(CITY)
kinds = {
    "single": Segments.single(city.grid),
    "per_cell": Segments.per_cell(city.grid),
    "nearest": Segments.nearest(city.cells, city.grid),
    'stations, rest="identity"': Segments.stations(city.cells, city.grid, rest="identity"),
}
figure, axes = plt.subplots(1, 4, figsize=(12, 3.3), layout="constrained")
for ax, (name, kind) in zip(axes, kinds.items(), strict=True):
    shown = kind.ids.float().where(kind.ids >= 0, torch.nan)  # cells in no segment are white
    ax.imshow(shown * 7 % 20, origin="lower", cmap="tab20", vmin=0, vmax=20)
    ax.set_title(f"{name}\nS = {kind.num_segments}")

# %% [markdown]
# `per_cell` is the published choice, with 1,024 means for each channel. With `nearest`, the cells around a station share its
# statistics. `stations` treats the cells without a station as one more segment (`rest="pool"`), or returns
# them unchanged (`rest="identity"`). Any other partition can be given as an integer tensor.
#
# ## Running statistics
#
# In training, the layer normalizes with the statistics of the batch. In evaluation it uses running averages of
# them, so that an estimate does not depend on the other samples of a batch. Each batch moves them a tenth of the way
# to its own statistics (`momentum=0.1`).

# %% mystnb={"image": {"alt": "Lines of the running means of four cells, which approach the true means 0, 10, 20 and 30 within about forty batches"}}
layer, seen = LocalBN(C, (H, W)), []
for _ in range(60):
    layer(level + spread * torch.randn(32, C, H, W))
    seen.append(layer.running_mean[0, :W].clone())  # the cells of row 0
plt.plot(torch.stack(seen), label=[f"column {column}" for column in range(W)])
_ = plt.legend(), plt.xlabel("batch"), plt.ylabel("running means of row 0")
assert (layer.running_mean[0, :W] - level[0]).abs().max() < 1

# %% [markdown]
# ## Gradients
#
# The mean and the variance depend on the input, so the gradient flows through them: each output depends
# on all values of its segment, and on no other value. That also means that the gradients of a segment sum to zero,
# because adding a constant to all of its values changes nothing.

# %%
v = x[:8].clone().requires_grad_()
LocalBN(C, segments)(v)[0, 0, 0, 0].backward()  # one output, in the segment of station 0
reached = v.grad.abs().sum(dim=(0, 1)) > 0  # (H, W)
print(reached.int())
assert not reached[segments.ids != 0].any()
assert v.grad.sum().abs() < 1e-5

# %% [markdown]
# ## When local is wrong
#
# - **Few values per segment.** With one segment per cell and a batch of two, each variance is an estimate
#   from two numbers. Exercise 2 measures this.
# - **Places that training did not see.** A cell without readings has statistics of nothing.
# - **The level is the message.** If the west is always cleaner than the east, local normalization removes this
#   difference, and the bias of each segment has to learn it again.
# - **Sensor and place are confounded.** Statistics per station also remove the gain and offset of its sensor;
#   [notebook 4](04_station_621.ipynb) comes back to this.
#
# ## Several levels
#
# Several levels can help with the first problem, and give places without values the statistics of a larger segment.
# Whether that helps a network has to be measured. The levels go from fine to coarse, and a segment
# with $n$ values is normalized with its own mean and that of the level above, in the shares $n / (n + \tau)$ and
# $\tau / (n + \tau)$. The mean square is weighted in the same way, and the variance follows from both. The figure
# shows the means of twelve stations with 2 to 100 readings for `tau = 0` (their own values), `tau = 9` (pooled) and
# `tau = inf` (the mean of all). Here 9 is the best choice on average: it is the variance of the readings of a station
# (3²) divided by the variance between stations (1). A mask says which readings there are. Guess: which stations will
# move most?

# %% mystnb={"image": {"alt": "Means of twelve stations: with tau = 9 the mean of a station with two to four readings is much closer to the mean of all than with tau = 0; with fifty or more readings both nearly agree"}}
number = torch.tensor([2, 2, 3, 4, 6, 9, 14, 21, 32, 50, 75, 100])  # readings of each station
readings = torch.randn(12) + 3 * torch.randn(100, 1, 1, 12)  # (N, C, H, W)
levels = [Segments.per_cell((1, 12)), Segments.single((1, 12))]
layers = [LocalBN(1, levels, pooling=tau, momentum=1.0) for tau in (0.0, 9.0, torch.inf)]
for layer, marker in zip(layers, "oD-", strict=True):
    layer(readings, mask=torch.arange(100)[:, None, None, None] < number)
    plt.plot(layer.running_mean[0], marker, label=f"tau = {layer.pooling:g}")
own, pooled, common = (layer.running_mean for layer in layers)
torch.testing.assert_close(pooled, (number * own + 9 * common) / (number + 9))
plt.xticks(range(12), number.tolist())
_ = plt.legend(), plt.xlabel("readings of the station"), plt.ylabel("mean of the station")

# %% [markdown]
# A segment without any value has the mean of the level above. [Levels of segments](../docs/pooling.md) has the
# definition, and what levels change in the networks of this project.
#
# ## Exercise 1
#
# Divide the 4x4 grid into a western and an eastern half with a tensor of ids, and normalize `x` with them. What
# are the means of the four columns, and why are they not zero?

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
columns = LocalBN(C, torch.tensor([[0, 0, 1, 1]] * H))(x).mean(dim=(0, 1, 2)).detach()  # (W,)
print(columns)  # a half has mean 0, but its two columns lie 10 apart
assert -1e-4 < columns[0] + columns[1] < 1e-4 < 0.5 < columns[1]

# %% [markdown]
# ## Exercise 2
#
# How far is the variance of a batch from the true variance 1, on average over the cells, with 2, 8 and 128 samples?

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
errors = [(torch.randn(n, 32, 32).var(0, correction=0) - 1).abs().mean() for n in (2, 8, 128)]
print("2, 8 and 128 samples:", *(f"{error:.2f}" for error in errors))
assert errors[0] > errors[1] > errors[2]

# %% [markdown]
# ## What's next
#
# - [Notebook 3](03_training.ipynb) trains networks with the three norms and compares them.
# - [Notebook 7](07_inside_the_kernels.ipynb) shows how the layer is computed on a GPU.
# - [The layer](../docs/layer.md) has the definition with masks, and the accuracy.
