"""Whatever happens to a file, it is read right or refused in a sentence."""

import csv
import gzip
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
from pathlib import Path

import cv2
import made_up
import numpy as np
import pytest
import scenes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sources import HAPPY, OUTCOMES, announcing_much, mail, pack, picture, refused, tiny

from ferlib import faces, paths
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


def attempt(kind: str, examples: int, content: bytes, read: Callable, check: Callable) -> None:
    """Read damaged copies of a file; what is not refused must pass a check.

    Args:
        kind: Name in the table of outcomes.
        examples: Copies.
        content: The sound file.
        read: Called with the damaged bytes.
        check: Called with them and what was read.
    """

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=examples == FEW,
        suppress_health_check=list(HealthCheck),
    )
    @given(damage(content))
    def once(changed):
        try:
            found = read(changed)
        except FerlibError as problem:
            assert "\n" not in str(problem)
            OUTCOMES[kind, "refused"] += 1
        else:
            check(changed, found)
            OUTCOMES[kind, "read right"] += 1

    check(content, read(content))
    once()


def suites(test):
    """Run a test with few examples, and with many in the slow suite."""
    few, many = pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.slow)
    return pytest.mark.parametrize("examples", [few, many])(test)


# --- containers -------------------------------------------------------------------------------------


def sorted_pixels(reading) -> list:
    found = reading.faces
    return sorted(zip(found.splits, found.labels, (image.tobytes() for image in found.images), strict=True))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return the bytes of one data set in every container."""
    folder = tmp_path_factory.mktemp("sound")
    table = demo.write_csv(tiny(), folder / "fer2013.csv").read_bytes()
    return {
        "zip": demo.write_zip(tiny(), folder / "archive.zip").read_bytes(),
        "csv.zip": mail(folder / "csv.zip", {"fer2013.csv": table}).read_bytes(),
        "tar.gz": pack(folder / "fer2013.tar.gz", {"fer2013/fer2013.csv": table}).read_bytes(),
        "csv": table,
    }


@suites
@pytest.mark.parametrize("kind", ["zip", "csv.zip", "tar.gz"])
def test_archives_are_read_right_or_refused(kind, examples, sound, tmp_path):
    """Their checksums tell every change of an image."""
    file = tmp_path / f"archive.{kind}"

    def read(content):
        file.write_bytes(content)
        return readers.read(readers.locate(file))

    file.write_bytes(sound[kind])
    right = sorted_pixels(readers.read(file))

    def check(_, found):
        assert sorted_pixels(found) == right

    attempt(kind, examples, sound[kind], read, check)


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
def test_tables_are_read_as_written_or_refused(examples, sound, tmp_path):
    def read(content):
        (tmp_path / "fer2013.csv").write_bytes(content)
        return readers.read(tmp_path / "fer2013.csv")

    def check(content, found):
        assert sorted_pixels(found) == as_written(content)

    attempt("csv", examples, sound["csv"], read, check)


@suites
def test_fields_of_any_kind(examples, sound, tmp_path):
    lines = sound["csv"].decode().splitlines()
    numbers = st.one_of(st.integers(), st.floats(), st.integers(0, 300)).map(str)
    field = st.one_of(numbers, st.text("0123456789 .,eE+-_\"'x\t\n\r\0é٣²½", max_size=12))

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(field, st.sampled_from((0, 1, 2)), st.integers(0, 2303))
    def once(text, column, position):
        row = lines[3].split(",")
        pixels = row[1].split()
        pixels[position] = text
        row[column] = " ".join(pixels) if column == 1 else text
        out = io.StringIO()
        csv.writer(out).writerow(row)
        content = "\n".join([*lines[:3], out.getvalue().strip("\r\n"), *lines[4:]]).encode()
        try:
            found = decoding.read(io.BytesIO(content), len(content), "fer2013.csv")
        except FerlibError as problem:
            assert "\n" not in str(problem)
            OUTCOMES["csv field", "refused"] += 1
        else:
            assert sorted_pixels(readers.Reading(found)) == as_written(content)
            OUTCOMES["csv field", "read right"] += 1

    once()


@suites
def test_an_image_of_a_folder(examples, tmp_path):
    folder = demo.write_folders(tiny(), tmp_path / "unpacked")
    right = readers.read(folder).faces

    def read(content):
        (folder / HAPPY).write_bytes(content)
        return readers.read(folder)

    def check(_, found):
        others = found.faces.names != HAPPY.rpartition("/")[2]
        assert np.array_equal(found.faces.labels, right.labels) and others.sum() == 20
        assert np.array_equal(found.faces.images[others], right.images[others])

    attempt("folder", examples, (folder / HAPPY).read_bytes(), read, check)


@suites
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tiff", ".pgm"])
def test_images(suffix, examples):
    """A PNG has checksums, so it is the same or refused; the others are of the right kind at least."""
    damaged_image(suffix, tiny().images[5, ..., 0], False, examples)


@suites
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tiff", ".webp", ".gif"])
def test_pictures_of_any_size(suffix, examples):
    picture = cv2.cvtColor(cv2.resize(tiny().images[5], (90, 60)), cv2.COLOR_GRAY2BGR)
    damaged_image(suffix, picture, True, examples)


def damaged_image(suffix, image, any_size, examples):
    content = cv2.imencode(suffix, image)[1].tobytes()
    right = decoding.grey(content, "x", any_size)

    def check(_, found):
        assert found.shape == (48, 48) and found.dtype == np.uint8
        if suffix == ".png":
            assert np.array_equal(found, right)

    def read(changed):
        return decoding.grey(changed, "x", any_size)

    attempt(f"image {suffix}", examples, content, read, check)


# --- what ferlib itself has written -----------------------------------------------------------------


@suites
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_cached_images_are_right_in_any_case(suffix, examples, tmp_path):
    source = demo.write_csv(tiny(), tmp_path / "fer2013.csv")
    before = fer2013.load(source)
    (file,) = paths.cache().glob(f"*{suffix}")

    def read(content):
        file.write_bytes(content)
        return fer2013.load(source)

    def check(_, found):
        assert found.fingerprint == before.fingerprint
        for one, other in zip(found.splits, before_splits, strict=True):
            assert np.array_equal(one.images, other[0]) and np.array_equal(one.labels, other[1])
            assert one.names.tolist() == other[2] and one.labels.dtype == np.int64

    before_splits = [(np.array(s.images), s.labels, s.names.tolist()) for s in before.splits]
    attempt(f"cached images {suffix}", examples, file.read_bytes(), read, check)


def test_one_bit_of_a_cached_pixel(tmp_path):
    source = demo.write_csv(tiny(), tmp_path / "fer2013.csv")
    before = np.array(fer2013.load(source).test.images)
    (file,) = paths.cache().glob("*.npy")
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    assert np.array_equal(fer2013.load(source).test.images, before)


@pytest.mark.parametrize(
    "facts",
    [
        {"labels": np.arange(21.0) % 7},
        {"names": np.arange(21)},
        {"labels": np.array([None] * 21)},
        {"sizes": np.array([7, 14])},
        {"sizes": np.array([-7, 21, 7])},
        {"fingerprint": np.array(7)},
        {"classes": np.array(CLASSES[::-1])},
    ],
    ids=[
        "float labels",
        "numbers for names",
        "objects",
        "two splits",
        "negative",
        "no text",
        "other classes",
    ],
)
def test_cached_facts_of_another_type_are_made_anew(tmp_path, facts):
    source = demo.write_csv(tiny(), tmp_path / "fer2013.csv")
    before = fer2013.load(source)
    (file,) = paths.cache().glob("*.npz")
    with np.load(file) as stored:
        kept = dict(stored)
    np.savez(file, **kept | facts)
    found = fer2013.load(source)
    for one, other in zip(found.splits, before.splits, strict=True):
        assert one.labels.dtype == np.int64 and np.array_equal(one.labels, other.labels)
        assert one.names.tolist() == other.names.tolist() and one.classes == CLASSES


@suites
def test_a_cached_audit_is_right_in_any_case(examples, tmp_path, monkeypatch):
    monkeypatch.setattr(faces, "has_face", lambda image: bool(image[0, 0] % 2))
    dataset = fer2013.load(demo.write_csv(tiny(), tmp_path / "fer2013.csv"))
    before = audit.audit(dataset, progress=False).images
    (file,) = paths.cache().glob("audit-*")

    def read(content):
        file.write_bytes(content)
        return audit.audit(dataset, progress=False).images

    def check(_, found):
        assert found.equals(before)

    attempt("cached audit", examples, file.read_bytes(), read, check)


@suites
def test_a_finished_run_is_read_right_or_refused(examples):
    run = made_up.run("shallow_plain", images=40)
    record.publish([run])
    file = run.recorded_file

    def read(content):
        file.write_bytes(content)
        return record.load_run(file)

    def check(_, found):
        assert found.result == before.result and found.history.equals(before.history)
        assert made_up.same(found.valid, before.valid)

    before = record.load_run(file)
    attempt("finished run", examples, file.read_bytes(), read, check)


def read_as_written(value, word: str) -> bool:
    """Say whether a value of the table of results is what its word says; numbers may be written otherwise."""
    if word in ("", "True", "False") or isinstance(value, str):
        return value == word or (word == "" and value != value) or str(value) == word
    return value == float(word)


@suites
def test_the_table_of_results_is_whole_or_refused(examples):
    table = record.publish([made_up.run("shallow_plain", seed=seed, images=40) for seed in range(3)])

    def read(content):
        table.write_bytes(content)
        return record.read_results()

    def check(content, found):
        assert not found[[*record.IDENTITY, "file"]].isna().any(axis=None)
        rows = csv.reader(io.StringIO(content.decode(), newline=""))
        header, *rows = filter(None, rows)
        assert list(found) == header and len(found) == len(rows)
        for values, words in zip(found.itertuples(index=False, name=None), rows, strict=True):
            for value, word in itertools.zip_longest(values, words, fillvalue=""):
                assert read_as_written(value, word), (value, word)

    content = table.read_bytes()
    attempt("results", examples, content, read, check)
    for cut in (b"macs,", b"macs"):  # every value would count for its neighbour, or for a column of no name
        with pytest.raises(FerlibError, match="damaged"):
            read(content.replace(cut, b"", 1))


@suites
@pytest.mark.parametrize("name", [network.GRAPH, network.METADATA])
def test_a_network_is_as_it_was_exported_or_refused(name, examples, tmp_path):
    folder = scenes.write_network(tmp_path, temperature=1.5)
    images = tiny().images
    right = network.load_model(folder).probabilities(images)

    def read(content):
        network._loaded.cache_clear()
        (folder / name).write_bytes(content)
        return network.load_model(folder)

    def check(_, found):
        assert found.classes == CLASSES and found.temperature == 1.5
        np.testing.assert_array_equal(found.probabilities(images), right)

    attempt(name, examples, (folder / name).read_bytes(), read, check)


@suites
def test_the_votes_are_those_that_ship_or_refused(examples, tmp_path, monkeypatch):
    content, before = votes.FILE.read_bytes(), votes._table()
    file = tmp_path / "votes.npz"
    monkeypatch.setattr(votes, "FILE", file)
    read_anew = votes._table.__wrapped__

    def read(changed):
        file.write_bytes(changed)
        return read_anew()

    def check(_, found):
        assert found.keys() == before.keys()
        assert all(np.array_equal(found[name], before[name]) for name in before)

    attempt("votes", examples, content, read, check)


# --- films ------------------------------------------------------------------------------------------


@suites
@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mp4", "mp4v")])
def test_films_are_read_to_their_end_or_refused(suffix, codec, examples, tmp_path):
    """What is damaged within a picture, no film can tell; but none is cut off without a word."""
    walk = [np.roll(cv2.resize(tiny().images[0], (96, 64)), 4 * n, axis=1) for n in range(30)]
    film = scenes.video(
        tmp_path / f"film{suffix}", [np.dstack([picture] * 3) for picture in walk], codec=codec
    )

    def read(changed):
        film.write_bytes(changed)
        return [frame.image for frame in video.Video(film).read()]

    def check(_, found):
        assert len(found) >= 0.9 * len(walk)
        assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in found)

    attempt(f"film {suffix}", examples, film.read_bytes(), read, check)


# --- sizes ------------------------------------------------------------------------------------------


def png_of(width: int, height: int) -> bytes:
    """Return a small PNG whose header announces a size, all checksums right."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(2000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg_of(width: int, height: int, before: bytes = b"") -> bytes:
    """Return a small JPEG whose header announces a size, after other segments."""
    content = picture(48, 48)
    at = content.index(b"\xff\xc0")
    return (
        content[:at] + before + content[at : at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]
    )


@pytest.mark.parametrize("any_size", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        png_of(60_000, 60_000),
        png_of(2**31 - 1, 2**31 - 1),
        jpeg_of(65_500, 65_500),
        jpeg_of(65_500, 65_500, b"\xff\xff\xff"),
        jpeg_of(65_500, 65_500, b"\xff\xfe\x00\x06\xff\xc0\x00\x0b"),
    ],
    ids=["png", "larger png", "jpeg", "after fill bytes", "after a comment"],
)
def test_pictures_that_announce_too_much(content, any_size):
    with pytest.raises(FerlibError, match="announces more than 50,000,000 pixels"):
        decoding.grey(content, "x", any_size)


@pytest.mark.parametrize(
    "content",
    [png_of(60_000, 60_000), b"P5\n60000 60000\n255\n" + bytes(100)],
    ids=["png", "pgm"],
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


def test_a_jpeg_whose_header_is_out_of_sight():
    with pytest.raises(FerlibError, match="cannot be read as an image"):
        decoding.grey(jpeg_of(65_500, 65_500, b"astray"), "x")


def test_a_jpeg_of_the_right_size_is_read_after_other_segments():
    plain = decoding.grey(picture(48, 48), "x")
    assert np.array_equal(decoding.grey(jpeg_of(48, 48, b"\xff\xfe\x00\x06abcd\xff"), "x"), plain)


def test_files_that_are_too_large(tmp_path, monkeypatch):
    table = tmp_path / "fer2013.csv"
    table.touch()
    os.truncate(table, decoding.MOST_TABLE_BYTES + 1)  # a hole, which takes no space
    refused(table, f"more than {decoding.MOST_TABLE_BYTES:,}")
    with pytest.raises(FerlibError, match="more than 33,554,432"):
        decoding.grey(bytes(decoding.MOST_PICTURE_BYTES + 1), "x")


def test_members_that_announce_too_much(tmp_path, monkeypatch):
    whole = demo.write_zip(tiny(), tmp_path / "whole.zip")
    with zipfile.ZipFile(whole) as opened, monkeypatch.context() as patch:
        largest = max(member.file_size for member in opened.infolist())
        patch.setattr(decoding, "MOST_PICTURE_BYTES", largest)
        assert len(readers.read(whole).faces.labels) == 21
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("train/happy/Training_1.jpg", bytes(decoding.MOST_PICTURE_BYTES + 1))
    refused(whole, "Training_1.jpg has more than 33,554,432 bytes", "shrink it")


def test_a_tar_that_unpacks_to_too_much(tmp_path, monkeypatch):
    entry = tarfile.TarInfo("fer2013.csv")
    entry.size = decoding.MOST_TABLE_BYTES + 1
    with gzip.open(tmp_path / "fer2013.tar.gz", "wb") as file:
        file.write(entry.tobuf() + bytes(2048))
    refused(tmp_path / "fer2013.tar.gz", "unpacks to more than", "do not trust it")
    table = demo.write_csv(tiny(), tmp_path / "fer2013.csv").read_bytes()
    whole = pack(tmp_path / "whole.tar.gz", {"a.txt": b"hello", "fer2013.csv": table})
    monkeypatch.setattr(decoding, "MOST_TABLE_BYTES", len(table) + 5)
    assert len(readers.read(whole).faces.labels) == 21
    monkeypatch.setattr(decoding, "MOST_TABLE_BYTES", len(table) + 4)
    refused(whole, f"{len(table) + 4:,} bytes", "do not trust it")


def test_arrays_up_to_the_limit_are_read(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", one=np.arange(100), two=np.arange(7))
    with zipfile.ZipFile(tmp_path / "a.npz") as opened:
        size = sum(member.file_size for member in opened.infolist())
    monkeypatch.setattr(paths, "MOST_UNPACKED", size)
    assert paths.arrays(tmp_path / "a.npz")["two"].tolist() == list(range(7))
    monkeypatch.setattr(paths, "MOST_UNPACKED", size - 1)
    with pytest.raises(ValueError, match=f"announce {size:,} bytes, more than {size - 1:,}"):
        paths.arrays(tmp_path / "a.npz")


def test_a_run_and_votes_that_announce_too_much(tmp_path, monkeypatch):
    run = made_up.run("shallow_plain", images=40)
    record.publish([run])
    file = run.recorded_file
    file.write_bytes(announcing_much(file.read_bytes()))
    with pytest.raises(FerlibError, match=r"more than 1,073,741,824\); delete it and train again"):
        record.load_run(file)
    (tmp_path / "votes.npz").write_bytes(announcing_much(votes.FILE.read_bytes()))
    monkeypatch.setattr(votes, "FILE", tmp_path / "votes.npz")
    with pytest.raises(FerlibError, match=r"more than 1,073,741,824\): reinstall ferlib"):
        votes._table.__wrapped__()


def test_caches_that_announce_too_much_are_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(faces, "has_face", lambda image: bool(image[0, 0] % 2))
    source = demo.write_csv(tiny(), tmp_path / "fer2013.csv")
    before = fer2013.load(source)
    audited = audit.audit(before, progress=False).images
    forged = {file: announcing_much(file.read_bytes()) for file in paths.cache().glob("*.npz")}
    assert len(forged) == 2
    for file, content in forged.items():
        file.write_bytes(content)
    assert fer2013.load(source).fingerprint == before.fingerprint
    assert audit.audit(before, progress=False).images.equals(audited)
    assert not any(file.read_bytes() == content for file, content in forged.items())


def test_too_many_images(tmp_path, monkeypatch):
    archive = demo.write_zip(tiny(), tmp_path / "archive.zip")
    monkeypatch.setattr(readers, "MOST_IMAGES", 21)
    assert len(readers.read(archive).faces.labels) == 21
    monkeypatch.setattr(readers, "MOST_IMAGES", 20)
    refused(archive, "21 images, more than 20")
    refused(demo.write_folders(tiny(), tmp_path / "folder"), "21 images, more than 20")


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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_names_that_are_not_utf8(tmp_path):
    folder = demo.write_folders(tiny(), tmp_path / "unpacked")
    os.rename(folder / HAPPY, os.fsencode(folder / "train" / "happy") + b"/Training_\xff\xe4.jpg")
    os.mkdir(os.fsencode(folder) + b"/\xff")
    (folder / os.fsdecode(b"\xff") / "x.jpg").write_bytes(b"")
    found = fer2013.load(folder)
    assert [name.encode() for name in found.train.names if "\ufffd" in name] == [
        "Training_\ufffd\ufffd.jpg".encode()
    ]
    assert len(found.notes) == 1 and fer2013.describe(found).encode()


NOT_UTF8 = b"Training_\xff\xe4.jpg"
"""A name as systems of another encoding write it."""


def zip_of_another_encoding(path: Path) -> str:
    """Write a data set with such a name, and return what zip files without a word on it mean by that."""
    placeholder = b"Training_%%.jpg"  # as many bytes, so that no place in the file moves
    demo.write_zip(tiny(), path)
    with zipfile.ZipFile(path) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    mail(
        path, {name.replace(HAPPY, f"train/happy/{placeholder.decode()}"): members[name] for name in members}
    )
    content = path.read_bytes()
    assert content.count(placeholder) == 2, "once before the member, once in the list of all"
    path.write_bytes(content.replace(placeholder, NOT_UTF8))
    return NOT_UTF8.decode("cp437")


def test_members_of_a_zip_whose_names_are_not_utf8(tmp_path):
    meant = zip_of_another_encoding(tmp_path / "archive.zip")
    found = fer2013.load(tmp_path / "archive.zip")
    assert meant in found.train.names and len(found.train.names) == 7
    assert fer2013.describe(found).encode()


def test_a_zip_that_calls_such_a_name_utf8(tmp_path):
    archive = tmp_path / "archive.zip"
    zip_of_another_encoding(archive)
    content = bytearray(archive.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.rindex(header, 0, content.index(NOT_UTF8, content.find(header)))
        content[start + flags + 1] |= 8  # bit 11: the name is UTF-8
    archive.write_bytes(content)
    refused(archive, "utf-8", "download it again")


@pytest.mark.parametrize("place", ["{}", "fer2013/{}"])
def test_members_of_a_tar_whose_names_are_not_utf8(tmp_path, place):
    table = demo.write_csv(tiny(), tmp_path / "fer2013.csv").read_bytes()
    names = {place.format(os.fsdecode(NOT_UTF8)): b"", os.fsdecode(b"\xff/fer2013.csv"): table}
    packed = pack(tmp_path / "fer2013.tar.gz", names)
    assert len(readers.read(packed).faces.labels) == 21


PARTS = (
    "train",
    "Test",
    "val",
    "happy",
    "Sadness",
    "0",
    "9",
    ".x",
    "__MACOSX",
    "..",
    "",
    " ",
    "é",
    "\udcff",
    "a.jpg",
)


@suites
def test_any_names_are_placed_or_refused(examples):
    """Beside a sound data set, so that some pass; what is placed is all of it, once."""
    usual = [f"{split}/{name}/{n}.jpg" for split in ("train", "test") for n, name in enumerate(CLASSES)]
    part = st.one_of(st.sampled_from(PARTS), st.text("aA0._ \\:\n\udcff١", max_size=5))
    members = st.lists(st.lists(part, min_size=1, max_size=5).map("/".join), max_size=3)

    @settings(max_examples=5 * examples, deadline=None, database=None)
    @given(members)
    def once(members):
        try:
            placed, notes = layout.places(usual + members, "x")
            names, emotion_of, _ = layout.classes(placed, "x")
        except FerlibError:
            OUTCOMES["names", "refused"] += 1
        else:
            assert names == CLASSES and {emotion_of[place.emotion] for place in placed} == set(names)
            assert set(usual) <= {place.member for place in placed} <= {*usual, *members}
            assert len(placed) == len({place.member for place in placed})
            OUTCOMES["names", "read right"] += 1

    once()


@suites
def test_members_that_lead_out(examples, tmp_path):
    step = st.sampled_from(("..", ".", "notes", "C:", "", "..\\..", "x.txt"))
    names = st.lists(step, min_size=1, max_size=4).map("/".join)
    sound = demo.write_zip(tiny(), tmp_path / "archive.zip").read_bytes()

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(names, st.sampled_from("/\\"))
    def once(name, separator):
        name = name.replace("/", separator) or "x"
        (tmp_path / "archive.zip").write_bytes(sound)
        with zipfile.ZipFile(tmp_path / "archive.zip", "a") as opened:
            opened.writestr(zipfile.ZipInfo(name), b"")
        parts = name.replace("\\", "/").split("/")
        try:
            readers.read(tmp_path / "archive.zip")
        except FerlibError as problem:
            assert "\n" not in str(problem)
            OUTCOMES["members leading out", "refused"] += 1
        else:
            assert ".." not in parts and parts[0] != "" and "C:" not in parts
            OUTCOMES["members leading out", "read right"] += 1

    once()
