"""The tables of a small tidy city, and what two readings of one have in common."""

import numpy as np
import pandas as pd

STATIONS = """station,latitude,longitude,kind
007,51.20,4.40,road
B,51.25,4.45,park
C,51.30,4.50,park
D,51.22,4.41,road
"""
READINGS = """time,station,value
2024-01-01T05:00:00,B,4.5
2024-01-01T00:00:00,007,1.5
2024-01-01T00:00:00,B,-0.5
2024-01-01T01:00:00,007,inf
2024-01-01T01:00:00,007,-999
2024-01-01T01:00:00,B,
2024-01-01T05:00:00,007,2.0
2024-01-01T05:00:00,007,4.0
2024-01-01T05:00:00,007,
2024-01-01T02:00:00,X,9.0
2024-01-01T02:00:00,,9.0
2024-01-01T05:00:00,C,7.0
"""


def assert_same_city(got, expected):
    np.testing.assert_array_equal(got.times, expected.times)
    np.testing.assert_array_equal(got.values, expected.values)
    pd.testing.assert_frame_equal(got.stations, expected.stations)
    assert got.report == expected.report
