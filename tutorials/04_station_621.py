# %% [markdown]
# # 4. The case study: station 621
#
# *한국어 요약.* 인하대학교의 연구는 안트베르펜의 측정소 하나(격자 칸 621)를 가리고 신경망으로 초미세먼지 농도를
# 추정한 그림으로 끝납니다. 이 노트북은 그 사례 연구를 다시 그린 뒤, 한순간이 아니라 시간 전체와 도시 전체에서
# 추정이 얼마나 정확한지 확인합니다.
#
# **You will learn**
# - how a station is hidden and estimated, and how to read the heatmap of the case study
# - why one good estimate proves little, and what to look at instead
# - where in the city the network is wrong
#
# | | |
# |---|---|
# | prerequisites | Python; [notebook 1](01_data_preparation.ipynb) is helpful |
# | time | 20 minutes to read; the code takes about one minute |
# | hardware | two CPU cores and 2 GB of memory; no GPU, no network |
# | data | `CITY` below: the synthetic city, or the real one of the committed outputs (SensEURCity, hourly, CC BY 4.0) |

# %%
import os
import sys

if "google.colab" in sys.modules:
    get_ipython().run_line_magic("pip", "install -q 'tritonbn[tutorials]==0.2.0'")

import pandas as pd
from ipywidgets import IntSlider, interact

from data_prep import load_city
from tritonbn.experiment import train

CITY = os.environ.get("TRITONBN_CITY", "synthetic")  # or "senseurcity-hourly", 4 MB to download

# %% [markdown]
# ## Where is station 621?
#
# The publication (Yun, An and Seo, INHA University, 2024) names a station by the number of its cell. The
# grid has 32 rows and 32 columns; row 0 is in the south and column 0 in the west, and a cell has the number
# `row * 32 + column`. Guess the row and the column of cell 621 before you run the next cell.

# %%
CELL = 621
city = load_city(CITY)
row, column = divmod(CELL, city.grid[1])
print(f"cell {CELL} is in row {row} and column {column}")
city.stations[city.stations["cell"] == CELL]

# %%
assert (row, column) == (19, 13)
assert row * city.grid[1] + column == CELL

# %% [markdown]
# It is Park Spoor Noord, a park in the north of the city centre, with an official reference station
# (R803) beside which a low-cost sensor of the campaign stood.
#
# ## Train a network that can estimate it
#
# In the published training no station is hidden, and the network learns to predict the next time (protocol
# `paper`). We want a network that has practised our question: *what is the concentration where there is no
# reading?* In the protocol `masked`, each training sample hides a random fifth of the stations, and the
# network has to estimate them. The backbone is the published CNN with local batch normalization and
# the dense head; `scaling="percentile"` divides the readings by their 99th percentile, because their
# maximum is far above nearly all of them. Exercise 1 of [notebook 3](03_training.ipynb) explains the scaling.
# Local normalization is used because the case study is about it, not because it is best: on the real Antwerp, with
# this scaling and 500 steps, the error of the CNN (spRMSE, see below) is 4.27 without normalization, 4.41 with
# global and 5.31 with local (five seeds), and that of inverse distance weighting 4.53.
#
# The input has the shape (sample, time, channel, row, column), and the output (sample, channel, row, column).

# %% nbmake={"mock": {"STEPS": 20}}
STEPS = 400

# %%
run = train(
    city,
    "cnn",
    norm="local",
    protocol="masked",
    scaling="percentile",
    steps=STEPS,
    test_times=240,
    progress=False,
)
run.scores()[["model", "norm", "stations", "mean_reading", "sprmse", "skill"]].round(2)

# %% [markdown]
# The score `sprmse` is the RMSE of each hidden station over time, averaged over the stations, in µg/m³.
# `skill` compares with inverse distance weighting (IDW), a weighted mean of the other stations: a positive
# skill means a smaller mean square error than IDW, a negative one a larger error. Skill and spRMSE can disagree: the
# skill compares the squared errors of all readings together, so a few badly estimated stations decide it, whereas
# the spRMSE gives every station the same weight. Exercise 2 compares station by station.
#
# ## The published picture
#
# The upper panels show the whole grid: on the left the readings with the cell numbers, on the right the
# estimates; the visible stations, framed in white, keep their readings. The lower panels enlarge rows 14 to 24 and
# columns 8 to 18. The reading of the station framed in pink is hidden from the network.

# %% mystnb={"image": {"alt": "Four maps of the city: readings with cell numbers, the estimated field, and both enlarged around the hidden cell 621 with estimate and true reading"}}
run.heatmap(CELL)

# %% [markdown]
# Look at the cells *without* a station: they are noise. The loss compares estimates with readings, and readings
# exist in the cells of stations only, so nothing tells the dense head what belongs between them. This picture
# is not a map of the city; [notebook 6](06_your_own_city.ipynb) draws one with a network that is made for it.
#
# At the hidden station, compare the estimate with the reading. Whether or not they agree, it is *one* hour of one
# station. The time was chosen by the readings alone: it is the hour at which this station has its median reading.
# Choosing the hour with the best estimate would make any network look perfect.
#
# ## Through time
#
# `run.estimates()` has one row for each reading of the test that was estimated while its station was hidden.

# %%
estimates = run.estimates()
station = city.stations["station"].iloc[run.hidden_station(CELL)]
here = estimates[estimates["station"] == station].set_index("time")[["reading", "estimate"]]
error = here["estimate"] - here["reading"]
rmse = (error**2).mean() ** 0.5
print(f"{len(here)} readings of {station}: RMSE {rmse:.2f}, mean error {error.mean():.2f} µg/m³")
idw = run.reference.stations(city).set_index("station")["rmse"]
print(f"RMSE of IDW at this station: {idw[station]:.2f} µg/m³")

# %% mystnb={"image": {"alt": "Two lines over the times of the test: the readings of the hidden station and the estimates of the network"}}
axes = here.plot(figsize=(9, 3), ylabel="PM2.5 (µg/m³)", color=["black", "#D81B60"], lw=1)
_ = axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)

# %% [markdown]
# The RMSE of a station can be split into a part that is always the same (the *bias*, here the mean error) and
# the scatter around it: RMSE² = bias² + scatter². A bias can come from the place (a park is cleaner than
# the streets around it) or from the sensor (its gain and offset). These data cannot tell the two apart, and a
# layer with statistics per cell may learn either.

# %%
assert abs(rmse**2 - (error.mean() ** 2 + error.var(ddof=0))) < 1e-3 * rmse**2
assert abs(run.stations().set_index("station").loc[station, "rmse"] - rmse) < 1e-3

# %% [markdown]
# The slider goes through sixteen times of the test and hides the station in each of them. The figure below it
# is the last of them, for readers without a running kernel.

# %%
times = here.index[:: max(1, len(here) // 16)][:16]
_ = interact(
    lambda number: run.heatmap(CELL, str(times[number])),
    number=IntSlider(0, 0, len(times) - 1, continuous_update=False),
)

# %% mystnb={"image": {"alt": "The maps of readings and estimates with cell 621 hidden, at another time of the test"}}
run.heatmap(CELL, str(times[-1]))

# %% [markdown]
# ## Across the city
#
# Is station 621 typical? The map shows the RMSE of every station when it is hidden. The numbers are the cells of the
# five stations with the largest RMSE, and 621.

# %% mystnb={"image": {"alt": "Map of the stations by longitude and latitude, coloured by the RMSE of their estimates while they are hidden"}}
stations = run.stations().merge(city.stations[["station", "latitude", "longitude"]])
axes = stations.plot.scatter(
    "longitude", "latitude", c="rmse", s=90, cmap="viridis_r", figsize=(6, 5)
)
axes.set(xlabel="longitude (°)", ylabel="latitude (°)")
axes.figure.axes[1].set_ylabel("RMSE (µg/m³)")  # the colour bar
offset = {"xytext": (6, 3), "textcoords": "offset points", "fontsize": 7}
shown = pd.concat([stations.nlargest(5, "rmse"), stations[stations["cell"] == CELL]])
for place in shown.itertuples():
    axes.annotate(place.cell, (place.longitude, place.latitude), **offset)

# %%
rank = int((stations["rmse"] < rmse - 1e-6).sum()) + 1
print(f"station {CELL} has rank {rank} of {len(stations)} (1 is the smallest RMSE)")
assert abs(stations["rmse"].sort_values().iloc[rank - 1] - rmse) < 1e-6
assert abs(stations["rmse"].mean() - run.scores()["sprmse"].iloc[0]) < 1e-3

# %% [markdown]
# The mean of the column `rmse` is the spRMSE of the table above: a score of the whole city. A case study is an
# illustration of such a score, never a replacement for it.
#
# ## Exercise 1: a station of your choice
#
# Which station has the largest RMSE? Draw its heatmap. Is the network wrong there in the same direction
# most of the time?

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true} mystnb={"image": {"alt": "The maps of readings and estimates with the worst estimated station hidden"}}
worst = stations.loc[stations["rmse"].idxmax()]
print(f"{worst['station']}: RMSE {worst['rmse']:.2f}, bias {worst['bias']:.2f} µg/m³")
print(f"the bias is {worst['bias'] ** 2 / worst['rmse'] ** 2:.0%} of the mean square error")
errors = estimates[estimates["station"] == worst["station"]]
print(f"too low at {(errors['estimate'] < errors['reading']).mean():.0%} of the times")
run.heatmap(worst["station"])

# %% [markdown]
# ## Exercise 2: would a simple method do?
#
# `idw` has the RMSE of IDW at each station. At how many stations is the network better? Which stations decide whether
# the skill is positive?

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
network = stations.set_index("station")["rmse"]
both = pd.DataFrame({"network": network, "IDW": idw})
print(f"the network is better at {(both['network'] < both['IDW']).sum()} of {len(both)} stations")
both["gain"] = both["IDW"] ** 2 - both["network"] ** 2  # in the mean square error
print("mean gain:", round(both["gain"].mean(), 1))
# the skill has the sign of the mean gain, and a few large gains can outweigh many small losses:
# in the real Antwerp, that of ANT_URB_VINC decides
both.sort_values("gain").iloc[[0, 1, 2, -3, -2, -1]].round(1)

# %% [markdown]
# ## What's next
#
# - [Notebook 5](05_your_own_model.ipynb) puts local batch normalization into a model of your own.
# - [Notebook 3](03_training.ipynb) compares networks and protocols.
# - [The experiment](../docs/experiment.md) has the scores of all networks over five seeds.
