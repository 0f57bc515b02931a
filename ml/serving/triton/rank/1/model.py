"""Requests that rank products for one shopper."""

from ml.serving.triton_model import Model


class TritonPythonModel(Model):
    serves = staticmethod(lambda request: not (request.similar_to or request.goes_with))
