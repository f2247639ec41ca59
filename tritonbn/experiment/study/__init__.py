"""Studies: many runs in one results folder, with tables, figures and a report."""
