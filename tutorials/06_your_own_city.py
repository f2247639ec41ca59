# %% [markdown]
# # 6. Your own city
#
# *한국어 요약.* 측정소 표와 측정값 표(CSV) 두 개만 있으면 어느 도시든 지도를 만들 수 있습니다. 이 노트북은 표를 읽고,
# 잔차 신경망을 학습하고, 역거리 가중법(IDW)과 비교한 다음 지도와 NetCDF 파일, 대화형 지도를 만듭니다.
# 인하대학교 연구의 안트베르펜 자료를 예로 씁니다.
#
# **You will learn**
# - which two tables are needed, and what is checked when they are read
# - how to train a network that interpolates between stations, and how to judge it before you believe its map
# - how to write the map as NetCDF and to look at it interactively
#
# | | |
# |---|---|
# | prerequisites | pandas; two tables of your city, or none: the example makes its own |
# | time | 15 minutes to read; the code takes about one minute |
# | hardware | two CPU cores and 2 GB of memory; no GPU, no network |
# | data | tables written from `CITY` (the committed outputs show the real Antwerp); put your own folder in its place |

# %%
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

if "google.colab" in sys.modules:
    get_ipython().run_line_magic("pip", "install -q 'tritonbn[tutorials]==0.2.0'")

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from data_prep import DataError, load_city
from tritonbn.experiment import train

CITY = os.environ.get("TRITONBN_CITY", "synthetic")  # or "senseurcity-hourly", 4 MB to download

# %% [markdown]
# ## 1. Two tables in a folder
#
# `stations.csv` has the columns `station`, `latitude` and `longitude`; `readings.csv` has `time`, `station` and
# `value`, one row per reading. Here they are written from a city that is there already; if you have your
# own, set `folder` to it and skip this cell.

# %%
example = load_city(CITY)
temporary = TemporaryDirectory()
folder = Path(temporary.name)
places = example.stations[["station", "latitude", "longitude"]]
places.to_csv(folder / "stations.csv", index=False)
hourly = example.to_xarray()["reading"].resample(time="1h").mean().to_series().dropna()
hourly.rename("value").reset_index().to_csv(folder / "readings.csv", index=False)
print((folder / "readings.csv").read_text()[:110])

# %% [markdown]
# ## 2. Read them
#
# The grid spans the stations. Two stations never share a cell: the later one moves to the nearest free cell. If
# many had to move, choose a finer grid. The report also counts what was dropped, and why.

# %%
city = load_city(folder, grid=(16, 16), name=f"{example.name}, from CSV")
print(city)
city.report

# %% [markdown]
# A mistake in a table gives an error that names it. Here, one station occurs twice:

# %%
with TemporaryDirectory() as broken:
    city.stations.iloc[[0, 0]].to_csv(Path(broken, "stations.csv"), index=False)
    try:
        load_city(broken)
    except DataError as error:
        print(str(error).replace(broken, "FOLDER"))
assert len(set(city.cells)) == len(city.stations)

# %% [markdown]
# ## 3. Train
#
# A *residual* network starts from inverse distance weighting (IDW) and learns a correction of it. In training,
# random stations are hidden and have to be estimated. The residual CNN reads three hours, in the shape (sample,
# time, channel, row, column), and returns one field in the shape (sample, channel, row, column).

# %% nbmake={"mock": {"STEPS": 10}}
STEPS = 150

# %% mystnb={"image": {"alt": "Line of the validation error, which falls during training"}}
run = train(city, "cnn", design="residual", steps=STEPS, test_times=100, progress=False)
run.training_curve()

# %% [markdown]
# ## 4. Judge it before you look at the map
#
# A map always looks convincing. To judge it, hide one station at a time and estimate it: `sprmse` is the error of these
# estimates in µg/m³, and `skill` compares it with IDW. With a skill near 0 or below, use IDW, which is simpler.
# Training used other readings of these stations; with `protocol="unseen"` the score is that of places
# which training does not know.

# %%
scores = run.scores()
print(scores[["model", "stations", "mean_reading", "sprmse", "bias", "skill"]].round(2))
idw = run.reference.stations(city)
print(f"spRMSE of IDW: {idw['rmse'].mean():.2f} µg/m³")
assert abs(run.stations()["rmse"].mean() - scores["sprmse"].iloc[0]) < 1e-3

# %% mystnb={"image": {"alt": "Scatter plot of the RMSE of each station with the network against that with IDW, with the diagonal"}}
both = run.stations().merge(idw, on="station", suffixes=("_network", "_idw"))
axes = both.plot.scatter("rmse_idw", "rmse_network", figsize=(4.5, 4.5))
_ = axes.axline((0, 0), slope=1, color="grey")

# %% [markdown]
# Each point is a station; below the line, the network is better than IDW. A station far to the upper right is
# unlike its surroundings, or its sensor is broken: look at its readings.
#
# ## 5. The map
#
# `run.field` estimates all cells at one time, from the readings of all stations. It is an xarray
# `DataArray` with coordinates, so it can be sliced, plotted and written.

# %% mystnb={"image": {"alt": "Map of the estimated PM2.5 field of the city by longitude and latitude at one time of the test"}}
time = str(run.estimates()["time"].iloc[-1])
field = run.field(time)
field.plot.pcolormesh(figsize=(6, 4.5), cmap="viridis_r")
aspect = 1 / np.cos(np.radians(float(field["latitude"].mean())))
plt.gca().set(aspect=aspect, title=time)
print(dict(field.sizes))

# %% [markdown]
# ## 6. NetCDF
#
# The file follows the CF conventions, so QGIS, Panoply and others know its axes, its units and its reference system:
# the variable `crs` says that degrees are those of WGS 84.

# %%
field.to_netcdf(folder / "field.nc")
read = xr.load_dataarray(folder / "field.nc")
assert read.equals(field)
print(read.attrs)
print(read["crs"].attrs["geographic_crs_name"])

# %% [markdown]
# ## 7. An interactive map
#
# Zoom and drag; a click on a station shows its reading. The map needs no tiles from the network: it has its own
# outline and degree lines. It needs a running kernel, so the same field comes first as a figure.

# %% mystnb={"image": {"alt": "The same field with the stations drawn as squares, coloured by their readings, on one colour scale"}}
run.map(time)

# %%
run.interactive_map(time)

# %% [markdown]
# ## Exercise 1
#
# By how much do the estimates at one time differ between the cell with the largest and the one with the smallest
# value, and where are they? Do these two cells have a station?

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
cells = field.values.ravel()
print(
    f"{cells.min():.1f} to {cells.max():.1f} µg/m³, in cells {cells.argmin()} and {cells.argmax()}"
)
print("with a station:", np.isin([cells.argmin(), cells.argmax()], city.cells))
assert cells.max() > cells.min()

# %% [markdown]
# ## Exercise 2
#
# Does a smaller network error at a station go with a nearby other station? Draw the RMSE of each station against
# the distance to its nearest neighbour.

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true} mystnb={"image": {"alt": "Scatter plot of the RMSE of each station against the distance to the nearest other station in kilometres"}}
latitude, longitude = city.stations[["latitude", "longitude"]].to_numpy().T
at = np.stack([latitude, longitude * np.cos(np.radians(latitude.mean()))], axis=1)
distances = np.linalg.norm(at[:, None] - at, axis=-1) * 111.2  # km
nearest = np.sort(distances, axis=1)[:, 1]
axes = run.stations().assign(km=nearest).plot.scatter("km", "rmse", figsize=(5, 3.5))

# %% [markdown]
# ## What's next
#
# - [Use your own data](../docs/how-to/own-data.md) has the same on the command line.
# - [Protocols, scores and networks](../docs/protocols.md) explains how stations are hidden and scored.
# - [Notebook 4](04_station_621.ipynb) looks at one station through time.
