"""Whatever FER-2013 comes in, it is the same data set; it is read once and kept."""

import http.client
import re
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sources import mail, pack

from ferlib import cli, paths
from ferlib.data import demo, fer2013, layout, readers
from ferlib.labels import CLASSES, KAGGLE_SPLITS, FerlibError

SIZES = (100, 70, 70)


@pytest.fixture(scope="module")
def drawn():
    return demo.faces(SIZES)


@pytest.fixture
def table(drawn, tmp_path):
    return demo.write_csv(drawn, tmp_path / "fer2013.csv")


def renumbered(drawn, seed) -> demo.Faces:
    """Return the faces under names that tell no split."""
    numbers = np.random.default_rng(seed).permutation(len(drawn.names))
    return drawn._replace(names=np.array([f"im{number:05d}.jpg" for number in numbers]))


def same(one, other) -> bool:
    """Say whether two data sets hold the same images and labels in the same order."""
    return one.fingerprint == other.fingerprint and all(
        np.array_equal(a.images, b.images) and np.array_equal(a.labels, b.labels)
        for a, b in zip(one.splits, other.splits, strict=True)
    )


# --- one data set in many containers ----------------------------------------------------------------


def test_zip_folders_and_every_csv_agree_and_keep_labels_and_names(drawn, table, tmp_path):
    zipped = fer2013.load(demo.write_zip(drawn, tmp_path / "archive.zip"))
    assert [len(split) for split in zipped.splits] == list(SIZES)
    assert zipped.notes == () and not zipped.is_demo and zipped.source == "FER-2013 from archive.zip"
    mail(tmp_path / "csv.zip", {"challenge/fer2013.csv": table.read_bytes()})
    pack(tmp_path / "fer2013.tar.gz", {"fer2013/fer2013.csv": table.read_bytes()})
    demo.write_folders(drawn, tmp_path / "folders")
    for name in ("folders", "fer2013.csv", "csv.zip", "fer2013.tar.gz"):
        found = fer2013.load(tmp_path / name)
        assert same(found, zipped), name
        assert found.location == tmp_path / name and found.notes == ()
    known = {name: (label, image) for image, label, _, name in zip(*drawn, strict=True)}
    assert sorted(name for split in zipped.splits for name in split.names) == sorted(known)
    for split, usage in zip(zipped.splits, KAGGLE_SPLITS, strict=True):
        assert all(name.startswith(f"{usage}_") for name in split.names)
        assert [known[name][0] for name in split.names] == split.labels.tolist()
        for image, name in zip(split.images[:10], split.names, strict=False):
            assert abs(image.astype(int) - known[name][1]).mean() < 6


@pytest.mark.parametrize("change", ["order", "pixel", "label", "split"])
def test_the_fingerprint_sees_every_change_but_of_the_order_of_rows(table, change):
    before = fer2013.load(table)
    header, *lines = table.read_text().splitlines()
    emotion, pixels, usage = lines[149].split(",")
    first, rest = pixels.split(" ", 1)
    assert usage == "PublicTest"
    lines[149] = {
        "order": lines[149],
        "pixel": f"{emotion},{(int(first) + 1) % 256} {rest},{usage}",
        "label": f"{(int(emotion) + 1) % 7},{pixels},{usage}",
        "split": f"{emotion},{pixels},PrivateTest",
    }[change]
    table.write_text("\n".join([header, *reversed(lines)]))
    assert same(fer2013.load(table), before) == (change == "order")


def test_a_renumbered_copy_is_halved_by_class_with_a_note(drawn, tmp_path):
    halved = fer2013.load(demo.write_zip(renumbered(drawn, 0), tmp_path / "archive.zip"))
    assert halved.notes == (layout.HALVED.format("test"),) and "note " in fer2013.describe(halved)
    assert len(halved.train) == SIZES[0]
    table = fer2013.counts(halved)
    assert ((table["test"] - table["valid"]).isin([0, 1])).all()
    whole = np.bincount(drawn.labels[drawn.splits > 0])
    assert (table["valid"] + table["test"]).to_dict() == dict(zip(CLASSES, whole, strict=True))
    assert same(fer2013.load(demo.write_folders(renumbered(drawn, 1), tmp_path / "folders")), halved)


# --- the cache --------------------------------------------------------------------------------------


def test_sources_are_read_once_and_cached_beside_each_other(table, tmp_path, monkeypatch):
    other = tmp_path / "other.csv"
    other.write_text(table.read_text())
    first = fer2013.load(table)
    fer2013.load(other)
    monkeypatch.setattr(readers, "read", lambda path: pytest.fail("read again"))
    again = fer2013.load(table)
    assert same(again, first) and same(fer2013.load(other), first)
    assert (again.source, again.notes, again.location) == (first.source, first.notes, first.location)
    assert all(np.array_equal(a.names, b.names) for a, b in zip(again.splits, first.splits, strict=True))


def test_a_changed_source_is_read_anew_and_the_old_images_go(drawn, table, tmp_path):
    before, old = fer2013.load(table).fingerprint, set(paths.cache().iterdir())
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[1]]))
    assert fer2013.load(table).fingerprint != before
    new = set(paths.cache().iterdir())
    assert len(new) == len(old) == 2 and not new & old
    folder = demo.write_folders(drawn, tmp_path / "folders")
    assert fer2013.load(folder).fingerprint == before
    image = next((folder / "train" / "happy").iterdir())
    cv2.imwrite(str(image), 255 - cv2.imread(str(image), cv2.IMREAD_GRAYSCALE))
    assert fer2013.load(folder).fingerprint != before


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_half_a_cache_is_none_and_an_interrupted_read_is_repeated(table, suffix, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(np, "savez", interrupted)
        fer2013.load(table)
    assert not list(paths.cache().glob("*.npz"))
    before = fer2013.load(table)
    assert [len(split) for split in before.splits] == list(SIZES)
    (lost,) = paths.cache().glob(f"*{suffix}")
    lost.unlink()
    assert same(fer2013.load(table), before)


def test_demo_faces_are_cached_by_size_and_seed(drawn, monkeypatch):
    asked = []
    monkeypatch.setattr(demo, "faces", lambda *wanted: asked.append(wanted) or drawn)
    first = fer2013.drawn(SIZES)
    assert first.is_demo and first.location is None and first.source == fer2013.DEMO_SOURCE
    assert fer2013.drawn(SIZES).fingerprint == first.fingerprint
    fer2013.drawn(SIZES, seed=1)
    assert asked == [(SIZES, 0), (SIZES, 1)]


# --- where the data is looked for -------------------------------------------------------------------


@pytest.fixture
def places(tmp_path, monkeypatch, drawn):
    """Offer a data set at each place that is looked at, and return their paths from first to last."""
    kaggle = tmp_path / "kagglehub" / "datasets" / "msambare" / "fer2013"
    found = {
        "argument": demo.write_csv(drawn, tmp_path / "argument.csv"),
        "FERLIB_DATA": tmp_path / "variable.csv",
        "data/": tmp_path / "root" / "data" / "fer2013.csv",
        "kaggle": kaggle / "versions" / "1" / "fer2013.csv",
    }
    for path in found.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found["argument"].read_bytes())
    (kaggle / "1.complete").touch()
    monkeypatch.setenv("FERLIB_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("FERLIB_DATA", str(found["FERLIB_DATA"]))
    monkeypatch.setattr(fer2013, "drawn", lambda: "drawn")
    return found


def test_places_are_looked_at_in_the_order_promised(places, monkeypatch):
    assert fer2013.load(places["argument"]).location == places["argument"]
    assert fer2013.load().location == places["FERLIB_DATA"]
    assert fer2013.load("demo") == "drawn"
    monkeypatch.setenv("FERLIB_DATA", "demo")
    assert fer2013.load() == "drawn"
    monkeypatch.setenv("FERLIB_DATA", "")
    assert fer2013.load().location == places["data/"]
    places["data/"].unlink()
    assert fer2013.load().location == places["kaggle"]
    places["kaggle"].parents[2].joinpath("1.complete").unlink()
    assert fer2013.load() == "drawn"
    monkeypatch.setenv("FERLIB_DATA", str(places["argument"].with_name("nowhere.zip")))
    with pytest.raises(FerlibError, match=r"nowhere\.zip: no such file"):  # no reason to look elsewhere
        fer2013.load()


def test_without_network_nothing_is_downloaded(monkeypatch):
    asked = []
    monkeypatch.setattr(fer2013, "_is_online", lambda: asked.append("asked"))
    for offline in ("1", ""):
        monkeypatch.setenv("FERLIB_OFFLINE", offline)
        assert fer2013._from_kaggle() is None and bool(asked) == (not offline)


@pytest.mark.parametrize(
    ("answer", "online"),
    [
        (urllib.error.URLError("no route"), False),
        (http.client.BadStatusLine("SSH-2.0"), False),  # of a proxy that is none
        (urllib.error.HTTPError("https://www.kaggle.com", 405, "no HEAD", {}, None), True),
    ],
)
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_no_answer_means_offline_and_a_refusal_is_an_answer(monkeypatch, answer, online):
    def ask(*_, **__):
        raise answer

    monkeypatch.setattr(urllib.request, "urlopen", ask)
    assert fer2013._is_online(timeout=5 if online else 0.1) is online


def test_a_download_is_announced_and_a_failed_one_says_what_else_to_do(monkeypatch, capsys):
    import kagglehub

    def fail(name):
        assert name == fer2013.KAGGLE
        raise OSError("disk full")

    monkeypatch.delenv("FERLIB_OFFLINE")
    monkeypatch.setattr(fer2013, "_is_online", lambda: True)
    monkeypatch.setattr(kagglehub, "dataset_download", fail)
    with pytest.raises(FerlibError, match=r"msambare/fer2013.*disk full.*FERLIB_DATA=demo"):
        fer2013._from_kaggle()
    assert "kaggle.com/datasets/msambare/fer2013" in capsys.readouterr().err


# --- parts of a data set ----------------------------------------------------------------------------


def test_splits_are_read_only_maps_and_counts_are_alphabetical_and_add_up(demo_dataset):
    for split in demo_dataset.splits:
        assert isinstance(split.images, np.memmap) and not split.images.flags.writeable
        assert split.images.dtype == np.uint8 and split.labels.dtype == np.int64
    table = fer2013.counts(demo_dataset)
    assert list(table.index) == sorted(CLASSES)
    assert table.sum().to_dict() == {"train": 420, "valid": 84, "test": 84, "total": 588}
    happy = demo_dataset.test.labels == CLASSES.index("happy")
    assert table.loc["happy", "test"] == happy.sum()


def test_some_images_or_classes_keep_order_and_belonging(demo_dataset):
    split = demo_dataset.test
    chosen = split.take(np.array([5, 2, 9]))
    assert len(chosen) == 3 and chosen.names.tolist() == split.names[[5, 2, 9]].tolist()
    assert np.array_equal(chosen.images, split.images[[5, 2, 9]])
    mask = np.isin(split.labels, [3, 4])
    assert np.array_equal(split.take(mask).labels, split.labels[mask])
    chosen = split.only(("sad", "happy"))
    assert chosen.classes == ("sad", "happy") and np.array_equal(chosen.images, split.images[mask])
    assert [("sad", "happy")[code] for code in chosen.labels] == [CLASSES[c] for c in split.labels[mask]]


def test_a_subset_keeps_the_shares_of_the_classes(demo_dataset):
    split = demo_dataset.train
    half = fer2013.subset(split, 210, seed=0)
    assert len(half) == 210 and len(set(half.names)) == 210
    assert abs(np.bincount(half.labels) - np.bincount(split.labels) / 2).max() <= 1
    assert half.names.tolist() == fer2013.subset(split, 210, seed=0).names.tolist()
    assert half.names.tolist() != fer2013.subset(split, 210, seed=1).names.tolist()
    assert fer2013.subset(split, 10_000, seed=0) is split


def test_the_data_command_prints_what_matters(table, capsys):
    assert cli.main(["data", "--data", str(table)]) == 0
    said = capsys.readouterr().out
    words = (str(table), fer2013.load(table).fingerprint, str(paths.cache()), "test (PrivateTest)", "240")
    assert all(word in said for word in words)
    assert re.search(r"^votes +none", said, re.MULTILINE), "nobody voted on the faces of this table"
    assert [line.split()[0] for line in said.splitlines()[-8:]] == [*sorted(CLASSES), "total"]


# --- FER-2013 itself --------------------------------------------------------------------------------


def test_official_counts(real_dataset):
    table = fer2013.counts(real_dataset)
    assert table.sum().to_dict() == {"train": 28709, "valid": 3589, "test": 3589, "total": 35887}
    official = (4953, 547, 5121, 8989, 6077, 4002, 6198)
    assert table["total"].to_dict() == dict(zip(CLASSES, official, strict=True))
    assert not real_dataset.is_demo and real_dataset.notes == ()


def test_real_images_are_the_same_from_zip_and_csv(real_dataset, tmp_path):
    """A few images of each split, with their own JPEG files where they come from a zip."""
    few = [fer2013.subset(split, 70, seed=0) for split in real_dataset.splits]
    rows = [
        (label, " ".join(map(str, image.ravel())), usage)
        for split, usage in zip(few, KAGGLE_SPLITS, strict=True)
        for image, label in zip(split.images, split.labels, strict=True)
    ]
    pd.DataFrame(rows, columns=["emotion", "pixels", "Usage"]).to_csv(tmp_path / "a.csv", index=False)
    tabled = fer2013.load(tmp_path / "a.csv")
    for split, part in zip(tabled.splits, few, strict=True):
        assert np.array_equal(split.images, part.images) and np.array_equal(split.labels, part.labels)
    if not zipfile.is_zipfile(real_dataset.location):
        return
    wanted = {name for split in few for name in split.names}
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(real_dataset.location) as whole, zipfile.ZipFile(archive, "w") as part:
        for member in whole.namelist():
            if Path(member).name in wanted:
                part.writestr(member, whole.read(member))
    zipped = fer2013.load(archive)
    assert [len(split) for split in zipped.splits] == [70, 70, 70] and same(tabled, zipped)
