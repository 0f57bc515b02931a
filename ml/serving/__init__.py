"""Answers requests from a release on disk, with numpy and onnxruntime alone."""
