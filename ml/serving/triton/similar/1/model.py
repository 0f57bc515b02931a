"""Requests for the neighbours of one product."""

from ml.serving.triton_model import Model


class TritonPythonModel(Model):
    serves = staticmethod(lambda request: request.similar_to is not None)
