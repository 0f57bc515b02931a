"""A network of a release, opened for answering."""

import onnxruntime


def open_network(onnx: str | bytes) -> onnxruntime.InferenceSession:
    """onnx: a path, or what is in the file. Raises what onnxruntime raises for what is no network.

    One thread: requests already run side by side. No arena: it would hold 3 MB per shop for
    networks that need less.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(
        onnx, sess_options=options, providers=["CPUExecutionProvider"]
    )
