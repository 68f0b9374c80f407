"""Files for other programs, and from them."""
