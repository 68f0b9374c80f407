"""Spiking dynamics: neurons, encoders, readouts, surrogates, and the kernels that run them."""
