"""Optional parts of a comparison: each is a folder that can be deleted."""
