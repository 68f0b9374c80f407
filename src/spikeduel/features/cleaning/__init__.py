"""Delete what no run needs from the store and the cache."""
