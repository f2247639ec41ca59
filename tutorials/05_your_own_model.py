# %% [markdown]
# # 5. Local normalization in your own model
#
# *한국어 요약.* 인하대학교 연구에서 제안된 지역 배치 정규화 층은 대기오염이 아닌 다른 모델에도 쓸 수 있습니다. 이 노트북은
# 기존 모델의 배치 정규화를 바꾸고, 세그먼트와 마스크를 직접 정하고, AMP, `torch.compile`, 저장과 내보내기, Lightning을
# 차례로 시험합니다.
#
# **You will learn**
# - how to replace the batch norms of a model that you have
# - how to define segments of your own, such as land and sea, and how to leave values out with a mask
# - that AMP, `torch.compile`, saving, `torch.export` and Lightning work as with `nn.BatchNorm2d`
#
# | | |
# |---|---|
# | prerequisites | training loops in PyTorch; [notebook 2](02_local_batch_norm.ipynb) |
# | time | 20 minutes to read; the code takes half a minute |
# | hardware | two CPU cores and 2 GB of memory; no GPU, no network |
# | data | random numbers |

# %%
import logging
import sys
import warnings
from io import BytesIO

if "google.colab" in sys.modules:
    get_ipython().run_line_magic("pip", "install -q 'tritonbn[tutorials]==0.2.0'")

import lightning
import matplotlib.pyplot as plt
import torch
from torch import nn

from tritonbn import LocalBN, Segments, convert_batchnorm, revert_batchnorm

# %% [markdown]
# ## Convert a model
#
# A small network that was written for `nn.BatchNorm2d`. Its input has the axes (sample N, channel C, row H,
# column W). After the first convolution, which has stride 2, the grid has 16x16 cells.

# %%
torch.manual_seed(0)
H, W = 32, 32


def make_model():
    down = nn.Sequential(nn.Conv2d(1, 8, 3, 2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    up = nn.ConvTranspose2d(8, 8, 2, stride=2)
    return nn.Sequential(down, up, nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1))


x = torch.randn(16, 1, H, W)  # (N, C, H, W)
original = make_model()
for _ in range(20):
    original(x)  # so that it has running statistics
before = original.eval()(x)
local = convert_batchnorm(original, Segments.per_cell, example=x)
print(local[0][1], local[2], sep="\n")

# %% [markdown]
# Every cell of every layer now has its own statistics and parameters, which start as copies of those of the
# whole grid. So the converted model computes the same in evaluation, and only training makes it local. The
# parameters are new tensors: create the optimizer after the conversion.

# %%
torch.testing.assert_close(local(x), before)
assert local[2].weight.shape == (8, 32 * 32)

# %% [markdown]
# ## Segments of your own
#
# A partition of the grid is an integer tensor: `0` to `S-1`, or `-1` for cells that the layer leaves alone. Here: land
# and sea divided by an oblique coast, districts of 8x8 cells, and node types (stations and the other cells).

# %% mystnb={"image": {"alt": "Three maps of the grid coloured by segment: land and sea along an oblique coast, sixteen square districts, and stations among the other cells"}}
rows, columns = torch.arange(H)[:, None], torch.arange(W)
land, districts = (rows > columns).long(), rows // 8 * 4 + columns // 8
nodes = torch.isin(torch.arange(H * W), torch.tensor([77, 204, 621, 895])).long().view(H, W)
kinds = {"land and sea": land, "districts": districts, "node types": nodes}
figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for ax, (name, ids) in zip(axes, kinds.items(), strict=True):
    ax.imshow(ids, origin="lower", cmap="tab20")
    ax.set_title(f"{name}: {Segments(ids).num_segments} segments")

# %% [markdown]
# ## Leave values out with a mask
#
# A batch of real data has holes: readings are missing, and whatever stands in their place should not change the
# statistics. `mask` is True where a value counts; it has one channel, (N, 1, H, W). Below, a fifth of the values is
# replaced by 1000.

# %% mystnb={"image": {"alt": "Points of the distance of the mean from zero in each of sixteen districts: about 200 without the mask, below 0.1 with it"}}
mask = torch.rand(16, 1, H, W) > 0.2
spoiled = x.where(mask, 1000.0)
layers = [LocalBN(1, districts, momentum=1.0) for _ in range(2)]
layers[0](spoiled)
layers[1](spoiled, mask=mask)  # momentum=1.0 keeps the last batch only
without, masked = (layer.running_mean[0] for layer in layers)  # (S,)
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.semilogy(torch.stack([without, masked], dim=1).abs(), "o", label=["no mask", "mask"])
ax.legend(loc="center right")
ax.set(xlabel="district", ylabel="distance of the mean from 0")
assert masked.abs().max() < 0.2 < 100 < without.min()

# %% [markdown]
# ## AMP and `torch.compile`
#
# Under autocast, a convolution computes in bfloat16. The layer takes its output and returns bfloat16, too, but its
# statistics are accumulated in float32. `torch.compile` needs a C++ compiler on the CPU, so this cell uses the
# backend `"eager"`, which captures the same graph.

# %%
with torch.autocast("cpu", torch.bfloat16):
    assert (local(x).float() - before).abs().max() < 0.05
torch.testing.assert_close(torch.compile(local, backend="eager")(x), before)

# %% [markdown]
# ## Save and export
#
# The segments are part of the `state_dict`, so a file knows to which partition its statistics belong; a layer
# that loads it takes the partition over. `torch.export` captures the model as a graph, for use without Python or for a
# conversion to ONNX. The last two lines check that the result is what it was before.

# %%
torch.save(local.state_dict(), file := BytesIO())
loaded = convert_batchnorm(make_model(), Segments.per_cell, example=x)
loaded.load_state_dict(torch.load(BytesIO(file.getvalue())))
torch.testing.assert_close(loaded.eval()(x), before)
torch.testing.assert_close(torch.export.export(local, (x,)).module()(x), before)

# %% [markdown]
# ## Lightning
#
# This cell trains a `LightningModule`. Its target has a gain and an offset of its own in every cell, which is exactly
# what the weight and the bias of a layer with one segment per cell can express. The loss does not reach 0, because the
# mean and variance of a batch of 64 differ from batch to batch. Guess how large the error remains with *one* segment
# before you do exercise 1.

# %%
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # it reports on every start
warnings.filterwarnings("ignore", module="lightning")


class Calibration(lightning.LightningModule):
    def __init__(self, segments):
        super().__init__()
        self.layer, self.losses = LocalBN(1, segments), []

    def training_step(self, batch, _):
        self.losses.append(nn.functional.mse_loss(self.layer(batch), batch * gain + offset))
        return self.losses[-1]

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)


def losses_with(segments):
    module = Calibration(segments)
    lightning.Trainer(accelerator="cpu", max_epochs=20, barebones=True).fit(module, data)
    return torch.stack(module.losses).detach()


gain, offset = torch.rand(2, H, W) * 3 + 0.5
data = torch.utils.data.DataLoader(torch.randn(512, 1, H, W), batch_size=64)
losses = losses_with(Segments.per_cell((H, W)))

# %% mystnb={"image": {"alt": "Line of the training loss with one segment per cell, which falls by more than a factor of ten within 160 steps"}}
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.semilogy(losses)
ax.set(xlabel="step", ylabel="loss")
assert losses[-1] < losses[0] / 10

# %% [markdown]
# ## Exercise 1
#
# Train the same module with a single segment, which is `nn.BatchNorm2d`. What is the last loss, and why?

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
single = losses_with(Segments.single((H, W)))  # it learns the mean of gain and offset
print(f"loss {single[-1]:.3f}, variance of gain and offset {gain.var() + offset.var():.3f}")
assert single[-1] > 10 * losses[-1]

# %% [markdown]
# ## Exercise 2
#
# Convert a new model with `Segments.single`, and turn it back with `revert_batchnorm`. What is its third layer then? (With
# more than one segment, no `nn.BatchNorm2d` is equivalent, and `revert_batchnorm` raises an error that says so.)

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
whole = convert_batchnorm(make_model(), Segments.single, example=x)
print(revert_batchnorm(whole)[2])

# %% [markdown]
# ## What's next
#
# - [What LocalBN works with](../docs/works-with.md) lists what was tested, such as distributed training and ONNX.
# - [Train with Lightning](../docs/how-to/lightning.md) and [export](../docs/how-to/export.md) have complete programs.
# - [Notebook 6](06_your_own_city.ipynb) makes a map of your own city.
