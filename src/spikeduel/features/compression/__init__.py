"""Cheaper variants of every contender, compared at equal accuracy."""
