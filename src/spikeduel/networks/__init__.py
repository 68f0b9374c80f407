"""Networks: their shapes, models, model files, and networks of other libraries."""
