# %% [markdown]
# # 1. From raw files to a city
#
# *한국어 요약.* SensEURCity 자료는 장치마다 CSV 파일 하나로 되어 있습니다. 이 노트북은 원자료의 열과 플래그를 살펴보고,
# 측정소와 기간을 정하고, 빠진 값을 역거리 가중법(IDW)으로 채우고, 인하대학교 연구의 32x32 격자와 칸 번호(621번)를 다시
# 계산합니다. 저가 센서가 실제로 어떤 오류를 내는지도 봅니다.
#
# **You will learn**
# - what the raw files look like, and what flags, sites and the common window mean
# - how a station gets its cell, and why 621 is where it is
# - how missing readings are filled, and how the times are split
# - what low-cost sensors do wrong
#
# | | |
# |---|---|
# | prerequisites | Python and a little pandas |
# | time | 25 minutes to read; the code takes about one minute |
# | hardware | two CPU cores and 2 GB of memory; no GPU, no network |
# | data | a synthetic archive in the layout of SensEURCity, then `CITY` (the committed outputs show the real hourly readings, CC BY 4.0) |

# %%
import os
import sys
import zipfile
from tempfile import TemporaryDirectory

if "google.colab" in sys.modules:
    get_ipython().run_line_magic("pip", "install -q 'tritonbn[tutorials]==0.2.0'")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from data_prep import load_city, read_archive
from data_prep.fill import distances_km, fill
from data_prep.synthetic import write_archive
from tritonbn.experiment.task.parts import split

CITY = os.environ.get("TRITONBN_CITY", "synthetic")  # or "senseurcity-hourly", 4 MB to download

# %% [markdown]
# ## A raw file
#
# The archive at Zenodo has a CSV file for each device, with a row a minute and about a hundred columns. It is large, so
# here we write a synthetic one of a single day with the same layout, and read one device as it is.

# %%
folder = TemporaryDirectory()
path = f"{folder.name}/senseurcity.zip"
write_archive(path, start="2020-08-01T00:00", end="2020-08-01T23:59", progress=False)
with zipfile.ZipFile(path) as archive:
    devices = [name for name in archive.namelist() if "Antwerp_" in name]
    with archive.open(devices[0]) as file:
        raw = pd.read_csv(file)
print(f"{len(devices)} devices; the first has {raw.shape[0]} rows and {raw.shape[1]} columns")
raw[["date", "latitude", "longitude", "Location.ID", "OPCN3PM25", "OPCN3PM25_flag"]].tail(3)

# %% [markdown]
# ## Flags
#
# An empty flag means a valid reading. Otherwise it names one reason or several: `W` is the warm-up after a start, `Rh.max`
# air too humid for an optical counter (droplets are counted as dust), `High_values` a value above a limit, and
# `OutliersMax` an outlier at the upper end. How large a share of the readings of this device is flagged?

# %%
flags = raw["OPCN3PM25_flag"].fillna("valid").str.split(",").explode().value_counts()
print(flags)
print(f"flagged: {raw['OPCN3PM25_flag'].notna().mean():.1%}")

# %% [markdown]
# ## Sites and the window
#
# Devices move: they begin side by side at a reference station, are deployed, and return. So a *station* is a site, not
# a device, and where two devices stand at one site, their valid readings are averaged. The window
# is the period in which devices run at all sites; here it is the whole day. Coordinates come from the site table, as GPS
# fixes are sometimes 150 m off.

# %%
small = read_archive(path, progress=False)
print(small)
{key: small.report[key] for key in ("source", "column", "readings", "shared_cells")}

# %% [markdown]
# `values` has the axes (time, station): readings are kept per station, never as a dense (time, row, column)
# cube, which would be thirty times larger.
#
# ## Cells
#
# From here on we use the city chosen above, with all its times. The real hourly readings are of another sensor at the
# same sites, the PMS5003. Its readings of 500 µg/m³ and more were removed, and the flags above do not apply to it.
# The grid spans the stations: with latitude $\phi$,
#
# $$\mathrm{row} = \left\lfloor 31 \, \frac{\phi - \phi_{\min}}{\phi_{\max} - \phi_{\min}} \right\rfloor,$$
#
# the same for the column with the longitude, and the number of the cell is $32 \cdot \mathrm{row} + \mathrm{column}$.
# Where two stations share a cell, the later one in the table moves to the nearest free cell.

# %% mystnb={"image": {"alt": "Grid of 32 by 32 cells with the number of each station's cell; cell 621 is marked in pink, north of the centre"}}
city = load_city(CITY)
rows, columns = np.divmod(city.cells, city.grid[1])
figure, ax = plt.subplots(figsize=(6, 6), layout="constrained")
ax.scatter(columns, rows, marker="s", c=np.where(city.cells == 621, "#D81B60", "#3b82c4"))
for row, column, cell in zip(rows, columns, city.cells, strict=True):
    side = {"xytext": (5, 0), "ha": "left"}
    if cell + 1 in city.cells or column == 31:  # there is no space on the right
        side = {"xytext": (-5, 0), "ha": "right"}
    ax.annotate(cell, (column, row), textcoords="offset points", va="center", fontsize=8, **side)
_ = ax.set(xlim=(-0.5, 31.5), ylim=(-0.5, 31.5), xlabel="column", ylabel="row (0 is in the south)")

# %%
station = city.stations.set_index("cell").loc[621]
latitude = city.stations["latitude"]
south, north = latitude.min(), latitude.max()
print(station["station"], "is in row", int(31 * (station["latitude"] - south) / (north - south)))
assert int(31 * (station["latitude"] - south) / (north - south)) == 621 // 32 == 19

# %% [markdown]
# ## What low-cost sensors do wrong
#
# Real readings are not normally distributed numbers. Three things can be seen in almost any network of cheap sensors.
# *Gaps*: a device stops, for hours or for weeks. *Outliers*: readings far above all others, in the real Antwerp
# above all in cell 895. *Gain and offset*: a device reads too high or too low all the time. The first figure shows
# where readings are missing, the second the distribution of the readings of each station. There, 0.1 is added to each
# reading, because a logarithmic scale has no place for 0.

# %% mystnb={"image": {"alt": "Picture with a row for each station and the times from left to right; dark where a reading is missing"}}
figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
ax.imshow(~city.observed.T, aspect="auto", cmap="Greys", interpolation="none")
title = f"{1 - city.observed.mean():.1%} of the readings are missing (black)"
_ = ax.set(xlabel="number of the time step", ylabel="number of the station", title=title)

# %% mystnb={"image": {"alt": "Box plots of the readings of each station on a logarithmic scale, with outliers far above the boxes"}}
readings = pd.DataFrame(city.values, city.times, city.cells)  # (time, station)
axes = (readings + 0.1).plot.box(figsize=(9, 4), rot=90, logy=True, sym=".")
_ = axes.set(xlabel="cell of the station", ylabel="PM2.5 + 0.1 (µg/m³)")

# %%
top, share = np.nanmax(city.values), np.nanquantile(city.values, 0.99)
print(f"largest reading {top:.0f} µg/m³, 99th percentile {share:.0f} µg/m³")
correlation = readings.corr().mean()
print(f"least correlated with the others: cell {correlation.idxmin()} ({correlation.min():.2f})")
assert top > 5 * share

# %% [markdown]
# Dividing by the largest reading squeezes 99 % of them into the lowest fifth of the scale.
# [Notebook 3](03_training.ipynb) shows what that does to a network. The station that follows the others least may be
# a special place, or its sensor may be broken: the readings alone do not tell.
#
# ## Filling gaps
#
# A network needs a number in every station's cell. Inverse distance weighting (IDW) takes the mean of the stations
# that have a reading, with weights $w_j = d_j^{-2}$ for the distance $d_j$. A reading is never changed.

# %%
places = [city.stations[name].to_numpy() for name in ("latitude", "longitude")]
distances = distances_km(*places)  # (station, station)
gap = int((~city.observed).sum(axis=1).argmax())  # the time with the most gaps
values = city.values[gap : gap + 1]  # (1, station)
filled = fill(values, distances)
k = int(np.flatnonzero(np.isnan(values[0]))[0])
known = ~np.isnan(values[0])
weights = distances[k, known] ** -2.0
assert np.isclose(filled[0, k], (weights * values[0, known]).sum() / weights.sum(), rtol=1e-5)
assert (filled[0, known] == values[0, known]).all()
print(f"{(~known).sum()} of {len(known)} stations filled at {city.times[gap]}")

# %% [markdown]
# Filled values are an input only. No score counts them; otherwise a network that imitates IDW would look perfect.
#
# ## The split
#
# The times are divided *in their order* into training, validation and test (6:2:2), with a day left out between the
# parts. With a random split, almost every test hour would lie between two training hours.

# %%
parts = split(city)
for name, part in parts.items():
    first, last = city.times[part][[0, -1]]
    print(f"{name}: {first} to {last}, {part.stop - part.start:,} times")
assert parts["train"].stop < parts["validation"].start < parts["test"].start

# %% [markdown]
# ## Exercise 1
#
# Draw the daily cycle: the mean of all stations at each hour of the day. When is the air worst?

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true} mystnb={"image": {"alt": "Line of the mean concentration over the hours of the day"}}
cycle = readings.mean(axis=1).groupby(readings.index.hour).mean()
axes = cycle.plot(figsize=(6, 3), xlabel="hour (UTC)", ylabel="PM2.5 (µg/m³)")
print(f"highest at {cycle.idxmax()} h, lowest at {cycle.idxmin()} h")

# %% [markdown]
# ## Exercise 2
#
# How well does IDW estimate station 621 while it is hidden? Hide its readings in a copy and fill them.

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
hidden = readings.copy()
hidden[621] = np.nan
estimate = fill(hidden.to_numpy(), distances)[:, hidden.columns == 621][:, 0]
error = estimate - readings[621]
print(f"RMSE {np.sqrt((error**2).mean()):.2f}, mean error {error.mean():.2f} µg/m³")

# %% [markdown]
# ## What's next
#
# - [Notebook 2](02_local_batch_norm.ipynb) explains local batch normalization.
# - [Notebook 6](06_your_own_city.ipynb) reads a city of your own.
# - [The data](../docs/reference/data.md) has all sources and what is done with bad rows.
