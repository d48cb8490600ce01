"""Whatever happens to a file, it is read right or refused in a sentence."""

import csv
import io
import itertools
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import made_up
import numpy as np
import pytest
import scenes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sources import HAPPY, OUTCOMES, mail, pack, picture, refused, tiny

from ferlib import faces, paths, pixels
from ferlib.data import audit, decoding, demo, fer2013, layout, readers, votes
from ferlib.labels import CLASSES, KAGGLE_SPLITS, SPLITS, FerlibError
from ferlib.live import media, network, video
from ferlib.train import record

FEW, MANY = 12, 100
"""Damaged files of each kind in the usual and in the slow suite."""


@st.composite
def damage(draw, content: bytes) -> bytes:
    """Flip bits, cut off, drop, double and insert, up to four times."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(changed))), draw(st.integers(1, 40))
        what = draw(st.sampled_from(("flip", "flip", "flip", "cut", "drop", "double", "insert")))
        if what == "flip" and at < len(changed):
            changed[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "cut":
            del changed[at:]
        elif what == "drop":
            del changed[at : at + length]
        elif what == "double":
            changed[at:at] = changed[at : at + length]
        elif what == "insert":
            changed[at:at] = draw(st.binary(min_size=1, max_size=16))
    return bytes(changed)


def drawn(examples: int, *strategies, **more):
    """Call the function below at once, and so often, with things drawn at random."""
    usual = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    return lambda once: settings(max_examples=examples, **usual, **more)(given(*strategies)(once))()


def outcome(kind: str, read: Callable, check: Callable, one_line: bool = True) -> None:
    """Count whether something is refused, in one line, or read; what is read must pass a check."""
    try:
        found = read()
    except FerlibError as problem:
        assert not one_line or "\n" not in str(problem)
        OUTCOMES[kind, "refused"] += 1
    else:
        check(found)
        OUTCOMES[kind, "read right"] += 1


def attempt(kind: str, examples: int, file: Path, read: Callable, check: Callable) -> None:
    """Read a file, and damaged copies of it under its name; what is not refused must pass a check.

    Args:
        kind: Name in the table of outcomes.
        examples: Copies.
        file: The sound file.
        read: Reads it.
        check: Called with what was read.
    """
    content = file.read_bytes()
    check(read())

    @drawn(examples, damage(content), derandomize=examples == FEW)
    def once(changed):
        file.write_bytes(changed)
        outcome(kind, read, check)


def suites(test):
    """Run a test with few examples, and with many in the slow suite."""
    few, many = pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.slow)
    return pytest.mark.parametrize("examples", [few, many])(test)


# --- containers -------------------------------------------------------------------------------------


def sorted_pixels(reading) -> list:
    found = reading.faces
    return sorted(zip(found.splits, found.labels, (image.tobytes() for image in found.images), strict=True))


@pytest.fixture
def table(tmp_path):
    """A data set as a csv."""
    return demo.write_csv(tiny(), tmp_path / "fer2013.csv")


@suites
@pytest.mark.parametrize("kind", ["zip", "csv.zip", "tar.gz"])
def test_archives_are_read_right_or_refused(kind, examples, table, tmp_path):
    """Their checksums tell every change of an image."""
    file, content = tmp_path / f"archive.{kind}", table.read_bytes()
    if kind == "zip":
        demo.write_zip(tiny(), file)
    elif kind == "csv.zip":
        mail(file, {"fer2013.csv": content})
    else:
        pack(file, {"fer2013/fer2013.csv": content})
    right = sorted_pixels(readers.read(file))

    def check(found):
        assert sorted_pixels(found) == right

    attempt(kind, examples, file, lambda: readers.read(readers.locate(file)), check)


def as_written(content: bytes) -> list:
    """Return split, label and pixels of each row of a csv, read in the plainest way."""
    header, *rows = filter(None, csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    at = {name.strip().casefold(): column for column, name in enumerate(header)}
    usages = {usage.casefold(): SPLITS.index(split) for usage, split in KAGGLE_SPLITS.items()}
    return sorted(
        (
            usages[row[at["usage"]].strip().casefold()],
            int(row[at["emotion"]]),
            bytes(int(word) for word in row[at["pixels"]].split()),
        )
        for row in rows
    )


@suites
def test_tables_are_read_as_written_or_refused(examples, table):
    def check(found):
        assert sorted_pixels(found) == as_written(table.read_bytes())

    attempt("csv", examples, table, lambda: readers.read(table), check)


@suites
def test_fields_of_any_kind(examples, table):
    lines = table.read_text().splitlines()
    numbers = st.one_of(st.integers(), st.floats(), st.integers(0, 300)).map(str)
    field = st.one_of(numbers, st.text("0123456789 .,eE+-_\"'x\t\n\r\0é٣²½", max_size=12))

    @drawn(examples, field, st.sampled_from((0, 1, 2)), st.integers(0, 2303))
    def once(text, column, position):
        row = lines[3].split(",")
        pixels = row[1].split()
        pixels[position] = text
        row[column] = " ".join(pixels) if column == 1 else text
        out = io.StringIO()
        csv.writer(out).writerow(row)
        content = "\n".join([*lines[:3], out.getvalue().strip("\r\n"), *lines[4:]]).encode()

        def check(found):
            assert sorted_pixels(readers.Reading(found)) == as_written(content)

        outcome("csv field", lambda: decoding.read(io.BytesIO(content), "fer2013.csv"), check)


@suites
def test_an_image_of_a_folder(examples, tmp_path):
    folder = demo.write_folders(tiny(), tmp_path / "unpacked")
    right = readers.read(folder).faces

    def check(found):
        others = found.faces.names != HAPPY.rpartition("/")[2]
        assert np.array_equal(found.faces.labels, right.labels) and others.sum() == 20
        assert np.array_equal(found.faces.images[others], right.images[others])

    attempt("folder", examples, folder / HAPPY, lambda: readers.read(folder), check)


@suites
@pytest.mark.parametrize(
    ("suffix", "any_size"),
    [(suffix, False) for suffix in (".jpg", ".png", ".bmp", ".tiff", ".pgm")]
    + [(suffix, True) for suffix in (".jpg", ".png", ".bmp", ".tiff", ".webp", ".gif")],
)
def test_images(suffix, any_size, examples, tmp_path):
    """A PNG has checksums, so it is the same or refused; the others are of the right kind at least."""
    image = tiny().images[5]
    if any_size:
        image = cv2.cvtColor(cv2.resize(image, (90, 60)), cv2.COLOR_GRAY2BGR)
    file = tmp_path / f"image{suffix}"
    cv2.imencode(suffix, image)[1].tofile(file)
    right = decoding.grey(file.read_bytes(), "x", any_size)

    def check(found):
        assert found.shape == (48, 48) and found.dtype == np.uint8
        assert suffix != ".png" or np.array_equal(found, right)

    attempt(f"image {suffix}", examples, file, lambda: decoding.grey(file.read_bytes(), "x", any_size), check)


# --- what ferlib itself has written -----------------------------------------------------------------


def cached(pattern: str) -> Path:
    (file,) = paths.cache().glob(pattern)
    return file


def assert_same(found: fer2013.Dataset, before: fer2013.Dataset) -> None:
    assert found.fingerprint == before.fingerprint
    for one, other in zip(found.splits, before.splits, strict=True):
        assert np.array_equal(one.images, other.images) and np.array_equal(one.labels, other.labels)
        assert one.names.tolist() == other.names.tolist() and one.labels.dtype == np.int64
        assert one.classes == CLASSES


@pytest.fixture
def before(table):
    """The data set as it was before anything was damaged, in memory."""
    loaded = fer2013.load(table)
    splits = (replace(split, images=np.array(split.images)) for split in loaded.splits)
    return replace(loaded, **dict(zip(SPLITS, splits, strict=True)))


@suites
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_cached_images_are_right_in_any_case(suffix, examples, table, before):
    def check(found):
        assert_same(found, before)

    attempt(f"cached images {suffix}", examples, cached(f"*{suffix}"), lambda: fer2013.load(table), check)


@pytest.fixture
def audited(before, monkeypatch):
    """A function that audits the data set."""
    monkeypatch.setattr(faces, "has_face", lambda image: bool(image[0, 0] % 2))
    return lambda: audit.audit(before).images


@suites
def test_a_cached_audit_is_right_in_any_case(examples, audited):
    right = audited()

    def check(found):
        assert found.equals(right)

    attempt("cached audit", examples, cached("audit-*"), audited, check)


@suites
def test_a_finished_run_is_read_right_or_refused(examples):
    run = made_up.run("shallow_plain", images=40)
    record.publish([run])
    right = record.load_run(run.recorded_file)

    def check(found):
        assert found.result == right.result and found.history.equals(right.history)
        assert made_up.same(found.valid, right.valid)

    attempt("finished run", examples, run.recorded_file, lambda: record.load_run(run.recorded_file), check)


def read_as_written(value, word: str) -> bool:
    """Say whether a value of the table of results is what its word says; numbers may be written otherwise."""
    if word in ("", "True", "False") or isinstance(value, str):
        return value == word or (word == "" and value != value) or str(value) == word
    return value == float(word)


@suites
def test_the_table_of_results_is_whole_or_refused(examples):
    table = record.publish([made_up.run("shallow_plain", seed=seed, images=40) for seed in range(3)])
    content = table.read_bytes()

    def check(found):
        assert not found[[*record.IDENTITY, "file"]].isna().any(axis=None)
        header, *rows = filter(None, csv.reader(io.StringIO(table.read_bytes().decode(), newline="")))
        assert list(found) == header and len(found) == len(rows)
        for values, words in zip(found.itertuples(index=False, name=None), rows, strict=True):
            for value, word in itertools.zip_longest(values, words, fillvalue=""):
                assert read_as_written(value, word), (value, word)

    attempt("results", examples, table, record.read_results, check)
    for cut in (b"macs,", b"macs"):  # every value would count for its neighbour, or for a column of no name
        table.write_bytes(content.replace(cut, b"", 1))
        with pytest.raises(FerlibError, match="damaged"):
            record.read_results()


@suites
@pytest.mark.parametrize("name", [network.GRAPH, network.METADATA])
def test_a_network_is_as_it_was_exported_or_refused(name, examples, tmp_path):
    folder = scenes.write_network(tmp_path, temperature=1.5)
    images = tiny().images
    right = network.load_model(folder).probabilities(images)

    def read():
        network._loaded.cache_clear()
        return network.load_model(folder)

    def check(found):
        assert found.classes == CLASSES and found.temperature == 1.5
        np.testing.assert_array_equal(found.probabilities(images), right)

    attempt(name, examples, folder / name, read, check)


@suites
def test_the_votes_are_those_that_ship_or_refused(examples, tmp_path, monkeypatch):
    right, file = votes._table(), tmp_path / "votes.npz"
    file.write_bytes(votes.FILE.read_bytes())
    monkeypatch.setattr(votes, "FILE", file)

    def check(found):
        assert found.keys() == right.keys()
        assert all(np.array_equal(found[name], right[name]) for name in right)

    attempt("votes", examples, file, votes._table.__wrapped__, check)


# --- films ------------------------------------------------------------------------------------------


@suites
@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mp4", "mp4v")])
def test_films_are_read_to_their_end_or_refused(suffix, codec, examples, tmp_path):
    """What is damaged within a picture, no film can tell; but none is cut off without a word."""
    one = np.dstack([cv2.resize(tiny().images[0], (96, 64))] * 3)
    frames = [np.roll(one, 4 * n, axis=1) for n in range(30)]
    film = scenes.video(tmp_path / f"film{suffix}", frames, codec=codec)

    def check(found):
        assert len(found) >= 0.9 * len(frames)
        assert all(frame.image.dtype == np.uint8 and frame.image.shape[2] == 3 for frame in found)

    attempt(f"film {suffix}", examples, film, lambda: list(video.Video(film).read()), check)


# --- sizes ------------------------------------------------------------------------------------------


def png_of(width: int, height: int) -> bytes:
    """Return a small PNG whose header announces a size, its checksum right."""
    content = bytearray(picture(48, 48, kind=".png"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.parametrize("before", [b"", b"\xff\xff\xff", b"\xff\xfe\x00\x06\xff\xc0\x00\x0b"])
def test_the_size_that_a_jpeg_announces_is_found_after_fill_bytes_and_comments(before):
    content = picture(70, 48)
    at = content.index(b"\xff\xc0")
    assert pixels.jpeg_pixels(content[:at] + before + content[at:]) == 70 * 48


@pytest.mark.parametrize(
    "content", [png_of(60_000, 60_000), b"P5\n60000 60000\n255\n" + bytes(100)], ids=["png", "pgm"]
)
def test_photos_that_announce_too_much(content, tmp_path):
    assert os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] == f"{media.MOST_DECODED}"
    (tmp_path / "photo.png").write_bytes(content)
    with pytest.raises(FerlibError, match=r"photo.png: announces more than 250,000,000 pixels; shrink or"):
        media.read_photo(tmp_path / "photo.png")


def by_pillow(kind: str, **options) -> np.ndarray:
    """Return a picture of 80x60 pixels in variants that OpenCV does not write."""
    file = io.BytesIO()
    Image.new("RGB", (80, 60), (90, 120, 150)).save(file, kind, **options)
    return np.frombuffer(file.getvalue(), np.uint8)


READS_ALL = """
import sys
from pathlib import Path
from ferlib.labels import FerlibError
from ferlib.live import media
for path in sys.argv[1:]:
    try:
        print(media.read_photo(Path(path)).image.shape)
    except FerlibError as error:
        print("announces more than" in str(error) or error)
"""


@pytest.mark.parametrize(("limit", "told"), [(60 * 80, "(60, 80, 3)"), (60 * 80 - 1, "True")])
def test_photos_of_all_kinds_up_to_the_limit_are_read(tmp_path, limit, told):
    frame = cv2.imdecode(np.frombuffer(picture(60, 80, 3), np.uint8), cv2.IMREAD_COLOR)
    kinds = (".png", ".gif", ".jpg", ".bmp", ".webp", ".tiff", ".jp2", ".ppm", ".avif")
    photos = [cv2.imencode(suffix, frame)[1] for suffix in kinds]
    photos += [cv2.imencode(".webp", frame, [cv2.IMWRITE_WEBP_QUALITY, 101])[1]]  # lossless
    photos += [by_pillow("WEBP", exif=b"Exif\0\0"), by_pillow("TIFF", big_tiff=True)]
    files = [tmp_path / f"{number}.png" for number in range(len(photos))]
    for file, photo in zip(files, photos, strict=True):
        photo.tofile(file)
    settings = os.environ | {"OPENCV_IO_MAX_IMAGE_PIXELS": str(limit)}  # which OpenCV reads once
    command = [sys.executable, "-c", READS_ALL, *map(str, files)]
    said = subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [told] * len(photos)


def test_films_up_to_the_limit_are_read(tmp_path, monkeypatch):
    film = scenes.video(tmp_path / "film.mp4", [np.zeros((60, 80, 3), np.uint8)] * 3)
    monkeypatch.setattr(video, "MOST_DECODED", 60 * 80)
    assert len(list(video.Video(film).read())) == 3
    monkeypatch.setattr(video, "MOST_DECODED", 60 * 80 - 1)
    with pytest.raises(FerlibError, match="film.mp4: announces more than"):
        video.Video(film)


def test_an_old_bmp_is_read():
    header = struct.pack("<2sIIIIHHHH", b"BM", 26 + 12 * 48, 0, 26, 12, 4, 48, 1, 24)
    photo = np.frombuffer(header + bytes([100]) * 12 * 48, np.uint8)
    assert media.decode(photo, "x").image.shape == (48, 4, 3)


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(tmp_path):
    archive = demo.write_zip(tiny(), tmp_path / "archive.zip")
    with zipfile.ZipFile(archive, "a") as opened:
        for member in 2 * ["train/", "train/.DS_Store"]:
            opened.writestr(member, b"")
    assert len(readers.read(archive).faces.labels) == 21, "folders and clutter may be twice"
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(HAPPY, picture(48, 48))
    refused(archive, f"holds {HAPPY} twice", "pack it again")
    with tarfile.open(tmp_path / "fer2013.tar", "w") as packed:
        for _ in range(2):
            packed.addfile(tarfile.TarInfo("fer2013.csv"), io.BytesIO())
    refused(tmp_path / "fer2013.tar", "holds fer2013.csv twice", "pack it again")


PARTS = (
    *("train", "Test", "val", "happy", "Sadness", "0", "9", ".x", "__MACOSX", "..", "", " ", "é", "\udcff"),
    "a.jpg",
)


@suites
def test_any_names_are_placed_or_refused(examples):
    """Beside a sound data set, so that some pass; what is placed is all of it, once."""
    usual = [f"{split}/{name}/{n}.jpg" for split in ("train", "test") for n, name in enumerate(CLASSES)]
    part = st.one_of(st.sampled_from(PARTS), st.text("aA0._ \\:\n\udcff١", max_size=5))
    members = st.lists(st.lists(part, min_size=1, max_size=5).map("/".join), max_size=3)

    @drawn(5 * examples, members)
    def once(members):
        def read():
            placed, _ = layout.places(usual + members, "x")
            return placed, *layout.classes(placed, "x")

        def check(found):
            placed, names, emotion_of, _ = found
            assert names == CLASSES and {emotion_of[place.emotion] for place in placed} == set(names)
            assert set(usual) <= {place.member for place in placed} <= {*usual, *members}
            assert len(placed) == len({place.member for place in placed})

        outcome("names", read, check, one_line=False)  # the command prints names with escapes


@suites
def test_members_that_lead_out(examples, tmp_path):
    step = st.sampled_from(("..", ".", "notes", "C:", "", "..\\..", "x.txt"))
    names = st.lists(step, min_size=1, max_size=4).map("/".join)
    sound = demo.write_zip(tiny(), tmp_path / "archive.zip").read_bytes()

    @drawn(examples, names, st.sampled_from("/\\"))
    def once(name, separator):
        name = name.replace("/", separator) or "x"
        (tmp_path / "archive.zip").write_bytes(sound)
        with zipfile.ZipFile(tmp_path / "archive.zip", "a") as opened:
            opened.writestr(zipfile.ZipInfo(name), b"")
        parts = name.replace("\\", "/").split("/")

        def check(_):
            assert ".." not in parts and parts[0] != "" and "C:" not in parts

        outcome("members leading out", lambda: readers.read(tmp_path / "archive.zip"), check)
