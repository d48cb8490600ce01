"""The live page shows itself to this computer alone, and no client can hold it up."""

import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from browser import fetch, first_picture

from ferlib.labels import FerlibError
from ferlib.live import page as pages
from ferlib.live.page import Page

VIEW = np.full((48, 64, 3), (200, 100, 50), np.uint8)


@pytest.fixture
def showing(page):
    """Return a page that gets fifty pictures a second, and a function that says how many it got."""
    done, shown = threading.Event(), []

    def show():
        while not done.wait(0.02):
            page.show(VIEW, [], 50)
            shown.append(time.monotonic())

    thread = threading.Thread(target=show)
    thread.start()
    yield page, lambda: len(shown)
    done.set()
    thread.join()


@pytest.fixture
def page():
    page = Page()
    yield page
    page.close()


def test_the_page_streams_what_is_shown(showing):
    page, _ = showing
    np.testing.assert_allclose(first_picture(page.address), VIEW, atol=4)
    html = fetch(page.address).decode()
    is_elsewhere = "http" in html.split("<body>")[1]
    assert 'src="stream"' in html and not is_elsewhere, "nothing is loaded from elsewhere"


def test_only_who_knows_the_address_may_watch_or_stop(page):
    assert page.address.startswith("http://127.0.0.1:")
    assert page._server.server_address[0] == "127.0.0.1"
    root = page.address[: page.address.index("/", 8)]
    asked = [("/", None), ("/stream", None), ("/state", None), (page.path[:-2] + "/", None), ("/stop", b"")]
    for path, data in asked:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(root + path, data)
    assert not page.stopped.is_set()
    other = Page()
    other.close()
    assert len(page.path) > 12 and other.path != page.path


def test_a_port_in_use_gets_a_sentence(page):
    port = page._server.server_port
    with pytest.raises(FerlibError, match=f"port {port} cannot be used"):
        Page(port)
    with pytest.raises(FerlibError, match="port 99999 cannot be used .*0-65535"):
        Page(99999)


# --- who may ask ------------------------------------------------------------------------------------


def asked(page, method="GET", path="", **headers) -> int:
    """Return the status of an answer to a request with these headers."""
    connection = http.client.HTTPConnection("127.0.0.1", page._server.server_port, timeout=10)
    connection.putrequest(method, page.path + path, skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value.format(port=page._server.server_port))
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("host", ["evil.example:{port}", "127.0.0.1.evil.example", ""])
def test_other_names_are_refused(page, host):
    """A name of somebody else's that leads to 127.0.0.1 would make the page theirs.

    The usual names serve also with the port of a tunnel, such as that of ``ssh -L 9000:localhost:PORT``.
    """
    for method, path in (("GET", "state"), ("POST", "stop")):
        assert asked(page, method, path, Host=host) == asked(page, method, path) == 403
    assert not page.stopped.is_set()
    assert asked(page, Host="127.0.0.1:{port}") == asked(page, Host="localhost:9000") == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:1", "null", "https://127.0.0.1:{port}"]
)
def test_other_pages_may_not_press_q(page, origin):
    host = "127.0.0.1:{port}"
    assert asked(page, "POST", "stop", Host=host, Origin=origin) == 403 and not page.stopped.is_set()
    assert asked(page, "GET", "state", Host=host, Origin=origin) == 403
    assert asked(page, "POST", "stop", Host=host, Origin="http://" + host) == 200 and page.stopped.is_set()


# --- clients that are slow, many, or gone -----------------------------------------------------------


def until(condition, seconds=10.0) -> bool:
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return met


def test_who_takes_nothing_is_left_and_holds_up_nobody(showing, monkeypatch):
    monkeypatch.setattr(pages._Handler, "timeout", 0.5)
    page, shown = showing
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8)
    asleep = socket.socket()
    asleep.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    asleep.connect(("127.0.0.1", page._server.server_port))
    asleep.sendall(f"GET {page.path}stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert until(lambda: page._viewers == 1)
    page.show(noise, [], 50)  # more than the system keeps for a client
    before = shown()
    assert first_picture(page.address).size and until(lambda: shown() > before + 10), "others see what comes"
    for _ in range(20):
        page.show(noise, [], 50)
        time.sleep(0.05)
    assert until(lambda: page._viewers == 0), "it was left"
    asleep.close()


def test_clients_that_leave_are_no_news(showing, capsys):
    page, _ = showing
    for path in ("", "state", "stream"):
        for _ in range(5):
            client = socket.create_connection(("127.0.0.1", page._server.server_port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # no farewell
            client.sendall(f"GET {page.path}{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            client.close()
    assert first_picture(page.address).shape == VIEW.shape
    assert until(lambda: page._viewers == 0)
    assert capsys.readouterr().err == ""


def test_the_page_knows_the_shape_of_the_view_so_that_a_tall_one_fits_the_window(page):
    for height, width in ((48, 64), (64, 48)):
        page.show(np.zeros((height, width, 3), np.uint8), [], 25)
        assert json.loads(fetch(f"{page.address}state"))["shape"] == width / height
    html = fetch(page.address).decode()
    assert '"--shape", state.shape' in html and "var(--shape" in html
