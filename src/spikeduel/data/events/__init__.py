"""Recordings of event cameras: read, checked, kept as events, binned when a batch is taken."""
