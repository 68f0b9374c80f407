"""Look inside trained networks, for one image."""
