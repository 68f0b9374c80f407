"""Conclude from a run's measurements and predictions, and verify conclusions, without torch."""
