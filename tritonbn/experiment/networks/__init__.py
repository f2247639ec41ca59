"""The interpolation networks: what is trained, how, and what a trained network estimates."""
