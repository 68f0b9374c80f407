"""Recordings of event cameras: files read, events checked and kept, binned into frames when a batch
is taken.
"""
