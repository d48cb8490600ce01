"""What a browser does with the live page."""

import urllib.request

import cv2
import numpy as np


def fetch(address, data=None):
    with urllib.request.urlopen(address, data, timeout=10) as answer:
        return answer.read()


def first_picture(address):
    with urllib.request.urlopen(f"{address}stream", timeout=10) as stream:
        assert stream.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        length = next(int(line.split()[1]) for line in stream if line.startswith(b"Content-Length"))
        stream.readline()
        return cv2.imdecode(np.frombuffer(stream.read(length), np.uint8), cv2.IMREAD_COLOR)
