"""Conclusions and results in words: sentences and tables of text."""
