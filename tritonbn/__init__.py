"""Local batch normalization."""
