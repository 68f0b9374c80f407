"""Progress for TensorBoard, MLflow or a CSV file."""
