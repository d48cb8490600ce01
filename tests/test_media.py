import os
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import scenes
from PIL import Image

from ferlib import pixels
from ferlib.labels import FerlibError
from ferlib.live import media
from ferlib.live import video as videos

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def picture():
    """A photo without symmetry, red, green, blue: turned or swapped, it would not be itself."""
    across, down = np.meshgrid(np.linspace(0, 255, 160), np.linspace(0, 255, 120))
    return np.stack([across, down, np.full_like(across, 60)], axis=2).astype(np.uint8)


def save(folder, name, pixels, mode="RGB", **options):
    Image.fromarray(pixels).convert(mode).save(folder / name, **options)
    return folder / name


def same(frame, picture, tolerance):
    return np.abs(frame.image[..., ::-1].astype(int) - picture).mean() < tolerance


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.png", "RGBA"), ("a.jpg", "CMYK")]
    + [(name, "RGB") for name in ("a.jpg", "a.webp", "a.tif", "ä ü.bmp")],
)
def test_every_kind_of_photo_is_read_in_colour(tmp_path, picture, name, mode):
    assert same(media.read_photo(save(tmp_path, name, picture, mode)), picture, 5)


def test_grey_and_sixteen_bit_photos_become_eight_bit_colour(tmp_path, picture):
    cv2.imwrite(str(tmp_path / "deep.png"), picture[..., ::-1].astype(np.uint16) * 257)
    assert same(media.read_photo(tmp_path / "deep.png"), picture, 1)
    grey = media.read_photo(save(tmp_path, "grey.png", picture, "L")).image
    assert grey.dtype == np.uint8 and grey.shape == (120, 160, 3) and np.ptp(grey, axis=2).max() == 0
    assert media.read_photo(save(tmp_path, "dot.png", picture[:1, :1])).image.shape == (1, 1, 3)


def test_a_photo_is_turned_upright_as_its_exif_data_says(tmp_path, picture):
    lying = Image.Exif()
    lying[274] = 6  # the camera was held upright: turn clockwise to show
    path = save(tmp_path, "lying.jpg", np.rot90(picture), exif=lying, quality=95)
    assert same(media.read_photo(path), picture, 5)


@pytest.mark.parametrize("name", ["large.png", "large.jpg"])  # OpenCV decodes only the second small
def test_large_photos_are_read_small(tmp_path, picture, monkeypatch, name):
    monkeypatch.setattr(media, "MOST_PIXELS", 120 * 160 // 4)
    frame = media.read_photo(save(tmp_path, name, picture))
    assert frame.scale == 2 and frame.image.shape == (60, 80, 3)
    assert same(frame, picture.reshape(60, 2, 80, 2, 3).mean((1, 3)), 5)


def test_the_header_of_a_jpeg_tells_its_size(tmp_path, picture):
    for options in ({}, {"progressive": True}, {"exif": Image.Exif()}):
        path = save(tmp_path, "a.jpg", picture, **options)
        assert pixels.jpeg_pixels(path.read_bytes()) == 120 * 160
    assert pixels.jpeg_pixels(save(tmp_path, "a.png", picture).read_bytes()) == 0
    assert pixels.jpeg_pixels(bytes([0xFF, 0xD8, 0xFF])) == 0


def resized(size):
    return lambda path: os.truncate(path, size)


def replaced(make):
    return lambda path: (path.unlink(), make(path))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (resized(0), "the file is empty"),
        (resized(900), "not an image that can be read, or damaged"),
        (lambda path: path.write_bytes(b"Dear diary,\n" * 50), "not an image that can be read, or damaged"),
        (resized(media.MOST_BYTES + 1), "more than 512 MB are no photo that can be read"),
        (Path.unlink, r"cannot be opened \(No such file"),
        (replaced(Path.mkdir), "a folder; pass the photos in it, or run ferlib predict"),
        (replaced(os.mkfifo), r"not a file \(reading a pipe or device might never end"),
    ],
    ids=["empty", "cut off", "text", "too large", "missing", "folder", "pipe"],
)
def test_a_bad_photo_gets_a_sentence_with_its_name(tmp_path, picture, make, sentence):
    path = save(tmp_path, "bad.jpg", picture)
    make(path)
    with pytest.raises(FerlibError, match=f"bad.jpg: {sentence}"):
        media.read_photo(path)


def test_damage_inside_a_photo_is_told_and_the_decoder_stays_silent(tmp_path, capfd):
    path = save(tmp_path, "hurt.jpg", RNG.integers(0, 256, (200, 200, 3), np.uint8), quality=90)
    contents = bytearray(path.read_bytes())
    contents[3000:-200:97] = bytes(len(contents[3000:-200:97]))
    path.write_bytes(contents)
    frame = media.read_photo(path)
    assert frame.image.shape == (200, 200, 3) and "hurt.jpg: damaged" in frame.complaint
    assert capfd.readouterr().err == ""


# --- videos -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Fifty frames of noise that brightens, two seconds."""
    noise = RNG.integers(0, 100, (96, 128, 3), np.uint8)
    frames = [noise + 2 * n for n in range(50)]
    return scenes.video(tmp_path_factory.mktemp("film") / "film.avi", frames, codec="MJPG")


def test_a_video_is_read_in_order_with_its_times(film):
    video = videos.Video(film)
    frames = list(video.read())
    assert (video.frames, video.rate) == (50, 25) and [frame.index for frame in frames] == list(range(50))
    np.testing.assert_allclose([frame.seconds for frame in frames], np.arange(50) / 25, atol=1e-3)
    assert frames[49].image.mean() - frames[0].image.mean() == pytest.approx(98, abs=3)


@pytest.mark.parametrize(
    ("name", "contents", "sentence"),
    [
        ("a.avi", lambda film: film[1:], "damaged, .* does not begin as one"),
        ("film_001.mp4", lambda _: b"", "not a video that can be read"),
        ("film_001.mp4", lambda _: b"no video " * 100, "not a video that can be read"),
    ],
    ids=["no beginning", "empty", "text"],  # in the first, FFmpeg would look for single pictures
)
def test_what_is_no_video_is_refused_quietly(film, tmp_path, name, contents, sentence, capfd):
    (tmp_path / name).write_bytes(contents(film.read_bytes()))
    with pytest.raises(FerlibError, match=f"{name}: {sentence}"):
        videos.Video(tmp_path / name)
    assert capfd.readouterr().err == ""


def test_a_written_video_can_be_read_again(tmp_path):
    frames = [np.full((61, 81, 3), 5 * n, np.uint8) for n in range(30)]
    with videos.video_writer(tmp_path / "new" / "out.mp4", 12.5) as append:
        for frame in frames:
            append(frame)
        append(np.zeros((50, 50, 3), np.uint8))  # some streams change their size
    video = videos.Video(tmp_path / "new" / "out.mp4")
    assert (video.frames, video.rate) == (31, 12.5)
    read = [frame.image for frame in video.read()]
    assert read[0].shape[1] in (80, 81) and read[29].mean() == pytest.approx(145, abs=4)


@pytest.mark.parametrize(
    ("name", "sentence"), [("file/o.mp4", "file/o.mp4: "), ("o.mp4", "is the disk full")]
)
def test_a_video_that_cannot_be_written_whole_is_not_kept(tmp_path, monkeypatch, name, sentence):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(videos, "_length", lambda path: 1)  # of five: what a full disk leaves
    with pytest.raises(FerlibError, match=sentence), videos.video_writer(tmp_path / name, 25) as append:
        for _ in range(5):
            append(np.zeros((64, 64, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_photos_are_written_whole_or_not_at_all(tmp_path, picture):
    media.write_photo(tmp_path / "a.png", picture[..., ::-1])
    assert same(media.read_photo(tmp_path / "a.png"), picture, 0.1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FerlibError, match=r"file/a.png: cannot be written"):
        media.write_photo(tmp_path / "file" / "a.png", picture)
    with pytest.raises(FerlibError, match=r"b.webp: this picture cannot be stored"):
        media.write_photo(tmp_path / "b.webp", np.zeros((1, 20000, 3), np.uint8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "file"]


@pytest.fixture
def uneven(tmp_path):
    """A film whose frames come after 33, 200, 33 and 500 milliseconds in turns, and their times."""
    times = np.cumsum([0, *np.tile([0.033, 0.2, 0.033, 0.5], 15)])
    frames = [np.full((96, 128, 3), 2 * n, np.uint8) for n in range(len(times))]
    return scenes.matroska(tmp_path / "a.mkv", frames, times), times


def copied(path, target):
    film = videos.Video(path)
    with videos.video_writer(target, film.rate) as append:
        write = videos.in_time(append, film.rate, film.irregular)
        for frame in film.read():
            write(frame.image, frame.seconds)
    return videos.Video(target)


def test_a_film_of_uneven_frames_is_whole_and_it_and_its_copy_keep_their_times(uneven, tmp_path):
    path, times = uneven
    film = videos.Video(path)
    frames = list(film.read())
    assert film.irregular and len(frames) == len(times) and abs(film.frames - len(times)) < 5
    np.testing.assert_allclose([frame.seconds for frame in frames], times, atol=2e-3)
    copy = copied(path, tmp_path / "out.mp4")
    assert copy.frames / copy.rate == pytest.approx(times[-1], rel=0.05)


def test_a_cut_film_of_uneven_frames_is_still_called_damaged(uneven):
    path, _ = uneven
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(FerlibError, match="a.mkv: damaged, it stops after frame"):
        list(videos.Video(path).read())


def test_a_copy_keeps_in_time_with_a_film_that_slows_down(tmp_path):
    times = np.concatenate([np.arange(0, 3, 0.04), np.arange(3, 8, 0.1)])
    greys = np.linspace(10, 240, len(times)).astype(np.uint8)
    frames = [np.full((96, 128, 3), grey, np.uint8) for grey in greys]
    copy = copied(scenes.matroska(tmp_path / "a.mkv", frames, times), tmp_path / "out.mp4")
    seen = np.array([frame.image.mean() for frame in copy.read()])
    expected = np.interp(np.arange(len(seen)) / copy.rate, times, greys)
    assert len(seen) / copy.rate == pytest.approx(8, abs=0.2)
    assert np.abs(seen - expected).max() < 10, "it is never 0.3 seconds early or late"


def test_times_that_stand_still_lose_no_frame():
    kept = []
    write = videos.in_time(kept.append, 25, False)
    for _ in range(10):
        write(np.zeros((2, 2, 3), np.uint8), 7.0)
    assert len(kept) == 10


@pytest.mark.parametrize("rate", [0.5, 12.5, 500])
def test_slow_and_fast_films_keep_their_rate(tmp_path, rate):
    film = scenes.video(tmp_path / "a.avi", [np.zeros((96, 128, 3), np.uint8)] * 12, rate, "MJPG")
    assert videos.Video(film).rate == pytest.approx(rate)
    assert copied(film, tmp_path / "out.mp4").rate == pytest.approx(rate)


HEIC = b"\0\0\0\x18ftypheic" + bytes(40)


@pytest.mark.parametrize("is_there", [False, True])
def test_heic_is_read_where_its_package_is_and_else_names_it(tmp_path, picture, monkeypatch, is_there):
    package = types.ModuleType("pillow_heif")
    package.open_heif = lambda stream: types.SimpleNamespace(to_pillow=lambda: Image.fromarray(picture))
    monkeypatch.setitem(sys.modules, "pillow_heif", package if is_there else None)
    (tmp_path / "a.heic").write_bytes(HEIC)
    if is_there:
        assert same(media.read_photo(tmp_path / "a.heic"), picture, 0.1)
    else:
        with pytest.raises(FerlibError, match="a.heic: HEIC photos need .* pip install pillow-heif"):
            media.read_photo(tmp_path / "a.heic")


@pytest.mark.parametrize(
    "name", ["http:/a.mp4", "tcp:/127.0.0.1:9.mp4", "film:1.mp4", "file:f.mp4", "a%03d.mp4", "b\udcff.mp4"]
)
def test_names_of_films_are_names_and_nothing_else(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    frames = [np.full((48, 64, 3), 20 * n, np.uint8) for n in range(10)]
    with videos.video_writer(path, 25) as append:
        for frame in frames:
            append(frame)
    scenes.video(tmp_path / "f.mp4", frames[:3])
    assert [file for file in path.parent.iterdir() if file.name == path.name]
    assert len(list(videos.Video(path).read())) == 10


@pytest.mark.parametrize("filled", ["", "#" + " " * 5000, "#\0"])
@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile f.avi\n", "#EXTM3U\n#EXTINF:1,\nf.avi\n#EXT-X-ENDLIST\n"]
)
def test_text_is_no_film_whatever_ffmpeg_takes_it_for(tmp_path, text, filled):
    scenes.video(tmp_path / "f.avi", [np.zeros((48, 64, 3), np.uint8)] * 5, codec="MJPG")
    (tmp_path / "cc.mp4").write_text(text + filled)
    with pytest.raises(FerlibError, match=r"cc.mp4: not a video that can be read but text; .*pass these"):
        videos.Video(tmp_path / "cc.mp4")


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.webm", "VP80"), ("a.mkv", "MJPG"), ("a.ts", "mpg2")]
    + [("a.mov", "mp4v"), ("a.mpg", "mpg2"), ("a.wmv", "WMV2"), ("a.flv", "FLV1")],
)
def test_no_kind_of_film_is_taken_for_text(tmp_path, name, codec):
    noise = RNG.integers(0, 255, (30, 48, 64, 3), np.uint8)
    assert len(list(videos.Video(scenes.video(tmp_path / name, list(noise), codec=codec)).read())) >= 29
