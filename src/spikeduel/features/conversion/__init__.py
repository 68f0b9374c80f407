"""Convert trained ReLU networks to spiking ones."""
