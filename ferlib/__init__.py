"""Facial-expression recognition with FER-2013: the library behind the report.

`ferlib.predict(photo)` names the emotions in a photo, `ferlib.load_model()` gives the network behind it.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ferlib.live import predict
    from ferlib.network import load_model

# TensorFlow leaves oneDNN's kernels off on processors without AVX-512 VNNI, where they are worth the most: on
# an AMD EPYC of 2021 training takes half as long with them. It reads this when it is loaded.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"
__all__ = ["__version__", "load_model", "predict"]


def __getattr__(name: str):
    """Load what predicts when it is first asked for, so that importing ferlib stays instant."""
    if name == "predict":
        from ferlib.live import predict

        return predict
    if name == "load_model":
        from ferlib.network import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
