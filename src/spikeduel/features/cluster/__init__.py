"""Train on a Ray cluster."""
