"""The task: which stations are hidden when, what is predicted, and how estimates are scored."""
