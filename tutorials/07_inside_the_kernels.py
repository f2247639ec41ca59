# %% [markdown]
# # 7. Inside the kernels
#
# *한국어 요약.* GPU에서 지역 배치 정규화는 Triton 커널 세 단계로 계산됩니다. 이 노트북은 GPU 없이 Triton 인터프리터에서
# 4x4 격자로 각 단계를 실행하고, 레지스터 표를 함께 읽고, 한 번만 읽는 커널이 무엇을 아끼는지 계산합니다. 인하대학교 연구의
# 원래 코드는 1,024개의 층을 하나씩 호출합니다.
#
# **You will learn**
# - the three stages: rows to columns, columns to segments, coefficients to rows
# - how means and variances are merged without cancellation
# - how to read the table of registers, and why memory traffic decides the speed
#
# | | |
# |---|---|
# | prerequisites | [notebook 2](02_local_batch_norm.ipynb); what a GPU thread is; Linux, because Triton has packages for Linux only |
# | time | 30 minutes to read; the code takes half a minute |
# | hardware | two CPU cores and 1 GB of memory; no GPU, no network |
# | data | random numbers |

# %%
import os
import sys

if "google.colab" in sys.modules:
    get_ipython().run_line_magic("pip", "install -q 'tritonbn[tutorials]==0.2.0'")

os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported

from importlib.resources import files

import matplotlib.pyplot as plt
import pandas as pd
import torch
import triton
import triton.language as tl

from tritonbn import Segments, local_batch_norm

# %% [markdown]
# ## The input as a matrix
#
# Eight samples of one channel on a 4x4 grid: (sample N, channel C, row H, column W). In memory this is a
# matrix with a *row* for each sample and a *column* for each pair of channel and cell. Three stations divide
# the grid. The mean is 1,000 times the standard deviation, which will matter.

# %%
torch.manual_seed(0)
N, C, H, W = 8, 1, 4, 4
x = 1000 + torch.randn(N, C, H, W)
matrix = x.view(N, C * H * W)  # (rows, columns)
segments = Segments.nearest([0, 7, 13], (H, W))
print(f"matrix: rows={matrix.shape[0]}, columns={matrix.shape[1]}; S={segments.num_segments}")

# %% [markdown]
# ## Stage 1: rows to columns
#
# A kernel consists of many *programs*, which run at the same time. Each of them handles a block of columns and reads
# all rows of it: neighbouring columns lie side by side in memory, so whole cache lines are used, whatever the segments
# look like. The kernel below is stage 1 without its special cases. Welford's recurrence updates the mean and $M_2 = \sum_i (x_i - \mu)^2$ with each
# row; it is applied to deviations from the first row, so that no digits are lost.


# %%
@triton.jit
def column_statistics(x, mean, m2, rows, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    pivot = tl.load(x + column)
    average, squares = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for row in range(rows):
        value = tl.load(x + row * COLUMNS + column) - pivot
        delta = value - average
        average += delta / (row + 1)
        squares += delta * (value - average)
    tl.store(mean + column, pivot + average)
    tl.store(m2 + column, squares)


mean, m2 = torch.empty(2, C * H * W)
column_statistics[(4,)](matrix, mean, m2, N, COLUMNS=16, BLOCK=4)  # four programs
torch.testing.assert_close(mean, matrix.mean(dim=0))
torch.testing.assert_close(m2, matrix.var(dim=0, correction=0) * N)

# %% mystnb={"image": {"alt": "Two panels: the matrix of eight rows and sixteen columns, and below it the means of the sixteen columns, in which the blocks of four programs are separated by lines"}}
figure, axes = plt.subplots(2, 1, figsize=(7, 4), height_ratios=[4, 1], layout="constrained")
for ax, shown, name in zip(axes, (matrix, mean[None]), ("row of x", "mean"), strict=True):
    ax.imshow(shown, aspect="auto", cmap="viridis_r")
    ax.set(xlabel="column", ylabel=name, xticks=range(16), yticks=range(len(shown)))
    ax.vlines([3.5, 7.5, 11.5], -0.5, len(shown) - 0.5, color="red")  # one program between two

# %% [markdown]
# ## Why not the mean of squares?
#
# $\sigma^2 = \overline{x^2} - \bar{x}^2$ needs one pass and no recurrence. But both terms are near 1,000,000,
# where float32 has steps of 0.06, and the variance is near 1. Exercise 1 measures the error.
#
# ## Stage 2: columns to segments
#
# The columns of a segment are merged in a fixed order, in float64 (Chan, Golub, LeVeque, 1979). With counts $n_j$,
# means $\mu_j$ and sums $M_{2j}$ of the columns of segment k,
#
# $$\mu = \frac{\sum_j n_j \mu_j}{\sum_j n_j}, \qquad
# M_2 = \sum_j M_{2j} + \sum_j n_j (\mu_j - \mu)^2.$$
#
# This stage alone knows what a segment is, and it reads only three numbers per column.

# %%
ids = segments.ids.flatten()  # (columns,) for one channel
merged = torch.zeros(2, segments.num_segments, dtype=torch.float64)  # mean and variance, each (S,)
for k in range(segments.num_segments):
    means, squares = mean[ids == k].double(), m2[ids == k].double()
    merged[0, k] = means.mean()  # all columns have N rows
    merged[1, k] = (squares + N * (means - means.mean()) ** 2).sum() / (N * len(means))
    torch.testing.assert_close(merged[1, k], x[:, :, segments.ids == k].double().var(correction=0))
print(merged)

# %% [markdown]
# ## Stage 3: coefficients to rows
#
# Each program loads the coefficients of its columns once and applies them to many rows, starting with the block that
# stage 1 read last, because it is still in the cache.


# %%
@triton.jit
def normalize(x, y, center, scale, rows, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    column = (tl.num_programs(0) - 1 - tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
    m, s = tl.load(center + column), tl.load(scale + column)
    for row in range(rows):
        tl.store(y + row * COLUMNS + column, (tl.load(x + row * COLUMNS + column) - m) * s)


y = torch.empty_like(x)
center, scale = merged[0].float()[ids], torch.rsqrt(merged[1] + 1e-5).float()[ids]
normalize[(4,)](x, y, center, scale, N, COLUMNS=16, BLOCK=4)
expected = local_batch_norm(x.double(), segments, training=True)
torch.testing.assert_close(y.double(), expected, rtol=0, atol=1e-3)
own = local_batch_norm(x, segments, training=True, backend="triton")  # the kernels of the package
torch.testing.assert_close(own.double(), expected, rtol=0, atol=1e-5)
print(f"error here: {(y - expected).abs().max():.0e}, package: {(own - expected).abs().max():.0e}")

# %% [markdown]
# Where do the digits go? Our `center` is the mean rounded to float32, with an error up to 0.00003 at 1,000. The
# package keeps the rounding error as a second number (`low` in its source) and subtracts both.
#
# ## The table of registers
#
# A multiprocessor of a GPU has 65,536 registers. The more a thread needs, the fewer threads fit, and the fewer
# loads are in flight to hide the latency of memory. A *spill* moves registers to slow local memory. The
# table was made by compiling every kernel for each GPU, which needs no GPU. The figure shows the largest number over
# the configurations of each kernel. A thread can have 255 registers; how many
# threads does a multiprocessor hold if each needs 128?

# %% mystnb={"image": {"alt": "Bars of the registers per thread on sm_90 of each kernel in float32, all at most the limit of 255"}}
lines = files("tritonbn.kernels").joinpath("KERNELS.md").read_text().splitlines()
cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
table = pd.DataFrame(cells[2:], columns=cells[0]).astype({"sm_90": int, "spills": int})
registers = table[table["type"] == "float32"].groupby("kernel")["sm_90"].max().sort_values()
axes = registers.plot.barh(figsize=(7, 4), xlabel="registers per thread on an H100 (sm_90)")
print(f"{(table['spills'] > 0).sum()} of {len(table)} configurations spill")
assert registers.max() <= 255

# %% [markdown]
# ## What one pass saves
#
# Normalization does little arithmetic: its time is that of moving data. Three stages read `x` twice and write `y`
# once. If all values of a segment fit on the chip, a single kernel keeps its tile there and reads `x` once. The backward
# pass also reads the gradient of `y`: five transfers with three stages, three with one pass.

# %% mystnb={"image": {"alt": "Bars of the megabytes moved at size 128 by 64 by 32 by 32: three stages forward 101, one pass forward 67, three stages backward 168, one pass backward 101"}}
labels = [f"{way}, {how}" for way in ("forward", "backward") for how in ("3 stages", "1 pass")]
moved = 128 * 64 * 32 * 32 * 4 / 1e6 * pd.Series([3, 2, 5, 3], labels)  # (N, C, H, W) in float32
axes = moved[::-1].plot.barh(figsize=(7, 2.5), xlabel="MB read and written")
saved = 1 - moved["forward, 1 pass"] / moved["forward, 3 stages"]
print(f"{saved:.0%} of the forward traffic is saved")
assert abs(saved - 1 / 3) < 1e-6

# %% [markdown]
# (The answer to the question above: 65,536 / 128 = 512 threads, of 2,048 that a multiprocessor can hold.)
#
# What was measured on an H100 is in [the layer](../docs/layer.md): counting bytes predicts the order, not the times.
#
# ## Exercise 1
#
# Compute the variance of all values of `x` in float32 as the mean of squares minus the square of the mean. How large is
# the error?

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
naive, exact = (x**2).mean() - x.mean() ** 2, x.double().var(correction=0)
print(f"naive: {naive:.4f}, exact: {exact:.4f}")
assert abs(naive - exact) > 1e-3 * exact

# %% [markdown]
# ## Exercise 2
#
# Run stage 1 with a single program. Do the means change?

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
again, _ = results = torch.empty(2, C * H * W)
column_statistics[(1,)](matrix, *results, N, COLUMNS=16, BLOCK=16)
print("bitwise identical:", torch.equal(again, mean))  # a column is reduced alone, in one order

# %% [markdown]
# ## What's next
#
# - [Backends and kernels](../docs/kernels.md) has the choice of kernels and their tuning.
# - [The benchmarks](../benchmarks/README.md) have all measured times.
# - [Notebook 5](05_your_own_model.ipynb) uses the layer in a model.
