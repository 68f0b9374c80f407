"""Compute scores, comparisons and the recommendation from measurements and predictions."""
