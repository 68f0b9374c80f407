"""Preprocessing of images and binning of events, stored in model files."""
