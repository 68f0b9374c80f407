"""Plan, train, measure and store trials."""
