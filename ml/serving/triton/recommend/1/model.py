"""Any request: see `ml.serving.messages`."""

from ml.serving.triton_model import Model


class TritonPythonModel(Model):
    pass
