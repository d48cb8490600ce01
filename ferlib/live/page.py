"""The live view as a page on this computer: a stream of JPEG pictures that any browser shows."""

import json
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

from ferlib.labels import FerlibError
from ferlib.live.answers import Face

TEMPLATE = Path(__file__).with_name("webcam.html")
BOUNDARY = "picture"
LAST_WORDS_SECONDS = 1.0
"""How long a watched page may still ask why it stopped; it asks twice a second."""

QUALITY = 85
"""JPEG quality of the stream."""

POLICY = "default-src 'none'; img-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; "
POLICY += "script-src 'unsafe-inline'"

HERE = ("127.0.0.1", "localhost")
"""Names under which a browser on this computer asks for the page."""


class Page:
    """A small web server that shows pictures to browsers on this computer.

    It listens on 127.0.0.1 only, its address contains a random word, and requests under another name or from
    another page are refused, so that neither other computers nor other users or pages of this one can watch.
    It is stopped when somebody presses q or the button on it; its state is what the browser is told.
    """

    def __init__(self, port: int = 0):
        self.stopped = threading.Event()
        self._changed = threading.Condition()
        self._jpeg, self._number, self._viewers = b"", 0, 0
        self.state, self._closed = {}, False
        self.path = f"/{secrets.token_urlsafe(9)}/"
        try:
            self._server = _Server(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", error)
            raise FerlibError(f"port {port} cannot be used ({reason}): choose another with --port") from None
        self._server.page = self
        self.address = f"http://127.0.0.1:{self._server.server_port}{self.path}"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def show(self, image: np.ndarray, people: list[Face], rate: float) -> None:
        """Show the next picture, encoded only while somebody watches, and tell its faces and rate."""
        jpeg = b""
        if self._viewers:
            jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        said = [
            {"face": face.number, "emotion": face.emotion, "confidence": round(face.confidence, 3)}
            for face in people
        ]
        with self._changed:
            self.state = {"faces": said, "rate": round(rate, 1), "shape": image.shape[1] / image.shape[0]}
            self._jpeg, self._number = jpeg, self._number + 1
            self._changed.notify_all()

    def close(self, message: str = "Stopped.") -> None:
        """End the stream and stop serving; a page that is still open shows the message."""
        with self._changed:
            watched = self._viewers > 0
            self.state, self._closed = {"stopped": message}, True
            self._changed.notify_all()
        if watched:
            time.sleep(LAST_WORDS_SECONDS)
        self._server.shutdown()
        self._server.server_close()

    def pictures(self) -> Iterator[bytes]:
        """Yield every new picture, as JPEG, until the end; a slow browser skips some."""
        seen = 0
        with self._changed:
            self._viewers += 1
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or (self._jpeg and self._number != seen))  # noqa: B023
                    if self._closed:
                        return
                    jpeg, seen = self._jpeg, self._number
                yield jpeg
        finally:
            with self._changed:
                self._viewers -= 1


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exception(), OSError):  # a browser that left or fell asleep is no trouble
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request; `server.page` is the page it belongs to."""

    timeout = 10
    """Seconds after which a client that neither asks nor takes a picture is left."""

    def parse_request(self) -> bool:
        """Refuse other names for this computer (DNS rebinding), and other pages."""
        if not super().parse_request():
            return False
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        here = host.partition(":")[0] in HERE and origin in (None, f"http://{host}")
        if not here:
            self.send_error(403)
        return here

    def do_GET(self):  # noqa: D102
        page = self.server.page
        if self.path == page.path:
            self._answer("text/html; charset=utf-8", TEMPLATE.read_bytes())
        elif self.path == f"{page.path}state":
            self._answer("application/json", json.dumps(page.state).encode())
        elif self.path == f"{page.path}stream":
            self._stream()
        else:
            self.send_error(404)

    def do_POST(self):  # noqa: D102
        if self.path == f"{self.server.page.path}stop":
            self.server.page.stopped.set()
            self._answer("text/plain", b"stopping")
        else:
            self.send_error(404)

    def _answer(self, kind: str, contents: bytes) -> None:
        self._start(kind, {"Content-Length": str(len(contents)), "Content-Security-Policy": POLICY})
        self.wfile.write(contents)

    def _start(self, kind: str, headers: dict) -> None:
        self.send_response(200)
        for name, value in {"Content-Type": kind, "Cache-Control": "no-store", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _stream(self) -> None:
        self._start(f"multipart/x-mixed-replace; boundary={BOUNDARY}", {})
        for jpeg in self.server.page.pictures():
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + jpeg + b"\r\n")
            except OSError:  # the page was closed
                return

    def log_message(self, *words) -> None:  # noqa: D102
        pass
