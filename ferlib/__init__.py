"""Facial-expression recognition with FER-2013: the library behind the report.

`ferlib.predict(photo)` names the emotions in a photo, `ferlib.predict_video(film)` follows faces through a
film, `ferlib.load_model()` gives the network behind both.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ferlib.labels import FerlibError
    from ferlib.live.answers import Face, Faces, Film, Photos
    from ferlib.live.network import load_model
    from ferlib.live.reading import predict, predict_video

# TensorFlow leaves oneDNN's kernels off on processors without AVX-512 VNNI, where they are worth the most: on
# an AMD EPYC of 2021 training takes half as long with them. It reads this when it is loaded.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# From 1.29 on onnxruntime tells its maker which networks are run, unless it reads this when it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# OpenCV decodes no picture of more pixels, so that a small file cannot fill the memory; sensors have up to
# 200 million. It reads this when it is loaded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "250000000")

__version__ = "0.2.0"
__all__ = [
    "Face",
    "Faces",
    "FerlibError",
    "Film",
    "Photos",
    "__version__",
    "load_model",
    "predict",
    "predict_video",
]

_HOMES = {
    **dict.fromkeys(("Face", "Faces", "Film", "Photos"), "live.answers"),
    "FerlibError": "labels",
    **dict.fromkeys(("predict", "predict_video"), "live.reading"),
    "load_model": "live.network",
}


def __getattr__(name: str):
    """Load what predicts when it is first asked for, so that importing ferlib stays instant."""
    if name in _HOMES:
        return getattr(import_module(f"ferlib.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
