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

import numpy as np
import xarray as xr

from data_prep import DataError, load_city
from data_prep.fill import distances_km
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
# many had to move, choose a finer grid. Here, 16x16 is used to make the notebook quick, and four stations move; on
# 32x32 only one does. The report also counts what was dropped, and why.

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
# These are stations that the network learned from. Between the stations it is less accurate: on the real Antwerp, at
# stations that training never saw (`protocol="unseen"`, 32x32 grid, preset `quick`, one seed), the residual CNN has
# an `sprmse` of 4.57 without normalization and of 5.20 with local normalization, the default used here, and IDW has
# 4.57. So expect no better map between the stations than that of IDW.

# %%
scores = run.scores()
print(scores[["model", "stations", "mean_reading", "sprmse", "bias", "skill"]].round(2))
idw = run.reference.stations(city)
print(f"spRMSE of IDW: {idw['rmse'].mean():.2f} µg/m³")
assert abs(run.stations()["rmse"].mean() - scores["sprmse"].iloc[0]) < 1e-3

# %% mystnb={"image": {"alt": "Scatter plot of the RMSE of each station with the network against that with IDW, with the diagonal"}}
both = run.stations().merge(idw, on="station", suffixes=("_network", "_idw"))
axes = both.plot.scatter("rmse_idw", "rmse_network", figsize=(4.5, 4.5))
axes.axline((0, 0), slope=1, color="grey")
_ = axes.set(xlabel="RMSE of IDW (µg/m³)", ylabel="RMSE of the network (µg/m³)", aspect="equal")

# %% [markdown]
# Each point is a station; below the line, the network is better than IDW. A station far to the upper right is
# unlike its surroundings, or its sensor is broken: look at its readings.
#
# ## 5. The map
#
# `run.field` returns the whole grid at one time: the reading where a station has one, and an estimate everywhere
# else. It is an xarray `DataArray` with coordinates, so it can be sliced, plotted and written. `run.map` draws it. The
# cells framed in white have a station, and their colour is its reading.

# %% mystnb={"image": {"alt": "Map of the PM2.5 field of the city by longitude and latitude at one time of the test; the cells of the stations are framed in white"}}
time = str(run.estimates()["time"].iloc[-1])
field = run.field(time)
print(dict(field.sizes))
run.map(time)

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
# outline and degree lines. It needs a running kernel; the figure of section 5 shows the same field without one.

# %%
run.interactive_map(time)

# %% [markdown]
# ## Exercise 1
#
# Where are the largest and the smallest value of the field? Do these cells have a station, so that the values are
# readings and not estimates?

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
# Is the RMSE smaller at stations that have another station nearby? Draw the RMSE of each station against the distance
# to its nearest neighbour.

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true} mystnb={"image": {"alt": "Scatter plot of the RMSE of each station against the distance to the nearest other station in kilometres"}}
distances = distances_km(city.stations["latitude"], city.stations["longitude"])
nearest = np.sort(distances, axis=1)[:, 1]  # the smallest is the distance to itself
both = run.stations().assign(km=nearest)
axes = both.plot.scatter("km", "rmse", figsize=(5, 3.5))
axes.set(xlabel="distance to the nearest station (km)", ylabel="RMSE (µg/m³)")
print(f"rank correlation: {both[['km', 'rmse']].rank().corr().iloc[0, 1]:.2f}")
# yes in the synthetic city (0.85); hardly in the real Antwerp (0.15), where the two largest errors
# are at stations with a neighbour within 1 km

# %% [markdown]
# ## What's next
#
# - [Use your own data](../docs/how-to/own-data.md) has the same on the command line.
# - [Protocols, scores and networks](../docs/protocols.md) explains how stations are hidden and scored.
# - [Notebook 4](04_station_621.ipynb) looks at one station through time.
