"""Opens ONNX Runtime for every user of it: quietly, and without spinning threads."""

import onnxruntime as ort


def quiet_session(model: str | bytes, threads: int | None = None) -> ort.InferenceSession:
    """Return a session of a file or a model's bytes on ``threads`` CPU threads (None: all) that logs only errors.

    Its worker threads do not spin on the cores that the simulator needs. Raises what ONNX Runtime raises.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads:
        options.intra_op_num_threads = threads
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
