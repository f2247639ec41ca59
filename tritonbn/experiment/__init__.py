"""The experiment: train the interpolation networks on a city and score them station by station."""
