"""Architectures, model files, training steps, and networks of other libraries."""
