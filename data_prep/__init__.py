"""Prepare a city."""
