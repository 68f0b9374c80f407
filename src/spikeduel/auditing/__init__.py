"""Whether a result on this data and this split can be trusted."""
