"""Tune the settings of each contender on validation images."""
