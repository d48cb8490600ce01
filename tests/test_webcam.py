import json
import threading
import time

import numpy as np
import pytest
import scenes
from browser import fetch, first_picture

from ferlib.labels import FerlibError
from ferlib.live import video, webcam

PICTURE = scenes.scene([(scenes.face("happy"), (120, 60, 120, 120))], (240, 360))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two seconds of a happy face."""
    return scenes.video(tmp_path_factory.mktemp("film") / "film.mp4", [PICTURE] * 50)


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """Addresses that the browser would open."""
    opened = []
    monkeypatch.setattr(webcam.webbrowser, "open", opened.append)
    return opened


class Camera:
    """A camera that takes pictures as fast as one waits, and some day is unplugged."""

    def __init__(self, pictures=10**6, opened=True, rate=200):
        self.left, self.opened, self.pause, self.released = pictures, opened, 1 / rate, threading.Event()

    def isOpened(self):
        return self.opened

    def read(self):
        time.sleep(self.pause)
        self.left -= 1
        return (True, PICTURE) if self.left >= 0 else (False, None)

    def release(self):
        self.released.set()


@pytest.fixture
def plug_in(monkeypatch):
    original = webcam.cv2.VideoCapture

    def plug(camera):
        def capture(source, *how):
            return original(source, *how) if ".mp4" in str(source) else camera

        monkeypatch.setattr(webcam.cv2, "VideoCapture", capture)
        return camera

    return plug


# --- files and recordings ---------------------------------------------------------------------------


def test_a_file_is_recorded_whole_without_a_page(tmp_path, network, film, capsys):
    count = webcam.webcam(source=film, record=tmp_path / "out.mp4", model=network)
    recorded = list(video.Video(tmp_path / "out.mp4").read())
    assert count == len(recorded) == 50
    assert recorded[0].image.shape == (240, 460, 3)
    picture = recorded[30].image.astype(int)
    assert (picture[..., 0] - picture[..., 2] > 60).sum() > 300, "a blue box, a blue bar"
    assert capsys.readouterr().out == f"The live view is kept in {tmp_path / 'out.mp4'}\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"record": "out.gif"}, r"out.gif: recordings are MP4 files"),
        ({"record": "../{film.parent.name}/film.mp4"}, r"film.mp4 is the source"),
        ({"record": "file/out.mp4"}, r"file/out.mp4: cannot be written"),
        ({"source": "gone.mp4", "record": "out.mp4"}, "there is no such file"),
        ({"source": "x" * 300}, "there is no such file"),
        ({"detector": "eyes"}, "no face detector 'eyes'"),
    ],
)
def test_what_cannot_be_is_told_before_a_page_opens(
    network, film, opened, monkeypatch, capsys, options, sentence
):
    monkeypatch.chdir(film.parent)
    (film.parent / "file").write_text("in the way")
    before = {path: path.read_bytes() for path in film.parent.iterdir()}
    options = {"source": film} | {name: text.format(film=film) for name, text in options.items()}
    with pytest.raises(FerlibError, match=sentence):
        webcam.webcam(**options, model=network)
    assert (capsys.readouterr().out, opened) == ("", [])
    assert before == {path: path.read_bytes() for path in film.parent.iterdir()}


def test_ctrl_c_ends_the_recording_properly(tmp_path, network, film, monkeypatch):
    original, left = webcam.Tracker.update, iter(range(20))

    def update(self, image, seconds):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return original(self, image, seconds)

    monkeypatch.setattr(webcam.Tracker, "update", update)
    assert webcam.webcam(source=film, record=tmp_path / "out.mp4", model=network) == 20
    assert video.Video(tmp_path / "out.mp4").frames == 20


# --- cameras ----------------------------------------------------------------------------------------


def test_a_camera_that_is_unplugged_gets_a_sentence_here_and_on_the_page_and_the_recording_is_kept(
    tmp_path, network, plug_in, monkeypatch
):
    camera, ends = plug_in(Camera(pictures=60, rate=60)), []
    monkeypatch.setattr(webcam.Page, "close", lambda self, message: ends.append(message))
    with pytest.raises(FerlibError, match="camera 3 sends no more pictures: it was unplugged"):
        webcam.webcam(3, record=tmp_path / "out.mp4", model=network)
    assert ends == ["camera 3 sends no more pictures: it was unplugged or switched off."]
    assert camera.released.wait(5)
    kept = video._length(tmp_path / "out.mp4")
    assert 15 <= kept <= 60, "about one second"


@pytest.mark.parametrize("camera", [{"pictures": 0}, {"rate": 0.5}], ids=["nothing", "hangs"])
def test_a_camera_that_sends_nothing_gets_a_sentence(tmp_path, network, plug_in, monkeypatch, camera):
    monkeypatch.setattr(webcam, "FIRST_PICTURE_SECONDS", 0.2)
    plug_in(Camera(**camera))
    with pytest.raises(FerlibError, match="camera 0 sends no picture: is another program using it"):
        webcam.webcam(record=tmp_path / "out.mp4", model=network)
    assert not list(tmp_path.iterdir())


def test_a_missing_or_busy_camera_gets_a_sentence(network, plug_in):
    plug_in(Camera(opened=False))
    with pytest.raises(FerlibError, match="camera 77 cannot be opened: it is missing"):
        webcam.webcam(77, model=network)
    with pytest.raises(FerlibError, match="rtsp://nowhere/1: nothing can be read from this address"):
        webcam.webcam(source="rtsp://nowhere/1", model=network)


def test_a_slow_view_always_gets_the_newest_picture():
    camera = Camera(rate=100)
    numbers = iter(range(10**6))
    camera.read = lambda: (time.sleep(0.01), (True, np.full((2, 2, 3), next(numbers) % 250, np.uint8)))[1]
    pictures = webcam._of_camera(camera, "camera 0")
    seen = []
    for _ in range(4):
        seen.append(int(next(pictures)[0][0, 0, 0]))
        time.sleep(0.1)
    pictures.close()
    assert min(np.diff(seen)) >= 5 and camera.released.wait(5)


def test_the_rate_holds_for_pictures_that_come_in_bursts(monkeypatch):
    moments, rates = iter(np.cumsum([0.099, 0.001] * 60)), []
    monkeypatch.setattr(webcam.time, "perf_counter", lambda: next(moments))

    class Nobody:
        def update(self, image, seconds):
            return []

    class Screen:
        stopped = threading.Event()

        def show(self, view, people, rate):
            rates.append(rate)

    with webcam.tqdm(disable=True) as bar:
        assert webcam._run([(PICTURE, 0.0)] * 120, Nobody(), Screen(), None, bar) == (120, None)
    assert rates[0] == 0 and rates[-1] == pytest.approx(20, rel=0.15), "120 pictures in six seconds"


# --- the page ---------------------------------------------------------------------------------------


def test_live_view_from_a_camera_to_the_page_until_q_is_pressed(network, plug_in, capsys):
    camera = plug_in(Camera(rate=50))
    counts = []
    thread = threading.Thread(target=lambda: counts.append(webcam.webcam(model=network)))
    thread.start()
    said = ""
    while "http" not in said:
        time.sleep(0.05)
        said += capsys.readouterr().out
    address = said.split()[2]
    assert first_picture(address).shape == (240, 460, 3)
    state = {}
    for _ in range(100):
        state = json.loads(fetch(f"{address}state"))
        if state.get("faces"):
            break
        time.sleep(0.05)
    assert state["faces"][0]["emotion"] == "happy" and state["rate"] > 0
    fetch(f"{address}stop", b"")
    thread.join(10)
    assert not thread.is_alive() and counts[0] > 1 and camera.released.wait(5)
    with pytest.raises(OSError):
        fetch(address)


def test_a_file_on_the_page_keeps_its_own_time(network, film, opened):
    start = time.perf_counter()
    assert webcam.webcam(source=film, model=network) == 50
    assert time.perf_counter() - start > 1.9
    assert opened[0].startswith("http://127.0.0.1:")
