"""Train, store, measure, control, convert and tune trials."""
