"""The figures: maps of fields and readings, heatmaps, training curves, comparisons."""
