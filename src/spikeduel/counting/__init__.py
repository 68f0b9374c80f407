"""Operations of a network, layer by layer, counted while it runs.

A tensor's kind is known by where it comes from, never by its values: the input is declared, layers
of neurons give spikes, and what moves, joins, sums or averages spikes keeps them.
"""
