"""Export to ONNX, NIR and C, and import of NIR."""
