"""Many comparisons over data sets and settings, with one verdict."""
