"""Requests that rank given products for one shopper."""

from ml.serving.triton_model import Model


class TritonPythonModel(Model):
    serves = staticmethod(lambda request: request.among is not None)
