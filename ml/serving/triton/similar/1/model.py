"""Requests for what goes with or resembles products."""

from ml.serving.triton_model import Model


class TritonPythonModel(Model):
    serves = staticmethod(lambda request: bool(request.similar_to or request.goes_with))
