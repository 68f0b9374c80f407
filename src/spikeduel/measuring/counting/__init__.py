"""What a network's operations are, layer by layer, counted while it runs; torch alone, any network.

A tensor's kind is known by where it comes from, never by its values: the input is declared, layers
of neurons give spikes, and whatever moves, joins, sums or averages spikes keeps them (see
`operators.py`).
"""

from spikeduel.measuring.counting.books import NotCounted
from spikeduel.measuring.counting.counter import Counter

__all__ = ["Counter", "NotCounted"]
