"""Settings of an experiment, and recipes."""
