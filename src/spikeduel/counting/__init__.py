"""Operations of a network, layer by layer, counted while it runs.

A tensor's kind is known by its origin, never by its values: the input is declared, neurons give
spikes, and moving, joining, summing or averaging keeps them.
"""
