"""Recordings of event cameras, kept as events and binned in batches."""
