"""Trials: trained, stored, measured, controlled, converted, tuned."""
