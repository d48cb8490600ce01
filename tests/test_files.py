import csv
import io
import json
import re
from pathlib import Path

import cv2
import leftovers
import numpy as np
import pytest
import scenes

from ferlib import cli, faces, paths
from ferlib.evaluate import live_chain
from ferlib.faces import overlap
from ferlib.labels import CLASSES, FerlibError
from ferlib.live import files, media, naming, reading, video
from ferlib.live.network import load_model

PLACED = [("happy", (60, 90, 150, 150)), ("surprise", (330, 200, 120, 120))]
BLANK = np.full((120, 160, 3), 200, np.uint8)


@pytest.fixture(scope="module")
def couple():
    return scenes.scene([(scenes.face(emotion), box) for emotion, box in PLACED])


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """A face that walks to the right through forty frames, happy first, then angry; and where it is."""
    boxes = [(40 + 8 * n, 150, 140, 140) for n in range(40)]
    emotions = ["happy"] * 20 + ["angry"] * 20
    frames = [scenes.scene([(scenes.face(one), box)]) for one, box in zip(emotions, boxes, strict=True)]
    return scenes.video(tmp_path_factory.mktemp("walk") / "walk.mp4", frames), emotions, boxes


@pytest.fixture(autouse=True)
def here(tmp_path, couple, monkeypatch):
    """Work in a folder with a photo of two people and one of nobody."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("couple.png", couple)
    cv2.imwrite("wall.png", BLANK)
    return tmp_path


@pytest.fixture
def command(tmp_path_factory, monkeypatch):
    """The command with the small network."""
    folder = tmp_path_factory.mktemp("network")
    monkeypatch.setenv("FERLIB_WEIGHTS", str(scenes.write_network(folder)))
    return lambda *words: cli.main(["predict", *map(str, words)])


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def rows(path):
    return list(csv.DictReader(Path(path).read_text().splitlines()))


@pytest.fixture
def predict(network):
    """A function that reads files, and returns the summary, lines of JSON and rows of the CSV."""

    def predict(*names, **options):
        results = {"csv_file": "a.csv", "json_file": "a.jsonl"}
        summary = files.predict_files(names, **results, model=network, **options)
        return summary, lines("a.jsonl"), rows("a.csv")

    return predict


def test_no_name_gives_orders_to_the_terminal(command, couple, capsys):
    name = "a\x1b[31mred\x07\nferlib: all is well.png"
    cv2.imwrite(name, couple)
    Path("\x1b]0;title\x07.png").write_bytes(b"no picture")
    folder = Path("data", "train", "\x1b[2Jhappy")
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "1.png"), couple[:48, :48])
    assert command(name, "\x1b]0;title\x07.png") == command("\x1b[31mnobody.png") == 1
    assert cli.main(["data", "--data", "data"]) in (0, 1)
    for told in capsys.readouterr():
        assert told and not {"\x1b", "\x07"} & set(told)
        assert not any(line.startswith("ferlib: all is well") for line in told.splitlines())


def test_faces_in_a_photo_are_found_named_and_written_down(predict, couple, capsys):
    summary, (line,), (first, second) = predict("couple.png", out="out")
    assert summary == files.Summary(files=1, faces=2, failed=0)
    assert (line["file"], line["frame"], line["seconds"]) == ("couple.png", 0, 0)
    for face, (emotion, box) in zip(line["faces"], PLACED, strict=True):
        assert face["emotion"] == emotion and overlap(face["box"], box) > 0.55
        assert list(face["probabilities"]) == list(CLASSES)
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert face["confidence"] == max(face["probabilities"].values())
    assert (first["emotion"], second["emotion"]) == ("happy", "surprise")
    assert [int(first[side]) for side in ("x", "y", "width", "height")] == line["faces"][0]["box"]
    values = list(line["faces"][0]["probabilities"].values())
    assert [float(first[name]) for name in CLASSES] == pytest.approx(values)
    copy = cv2.imread("out/couple.png").astype(int)
    assert copy.shape == couple.shape and (copy[..., 0] - copy[..., 2] > 60).sum() > 1000, "blue boxes"
    table = capsys.readouterr().out
    assert "happy" in table and "surprise" in table
    assert max(len(line) for line in table.splitlines()) <= 80


def test_a_moving_face_is_followed_through_a_video(predict, walk):
    path, emotions, boxes = walk
    summary, found, _ = predict(path, out="out")
    assert [line["frame"] for line in found] == list(range(40))
    assert found[25]["seconds"] == pytest.approx(1.0)
    assert [len(line["faces"]) for line in found] == [1] * 40 and summary.faces == summary.frames == 40
    people = [line["faces"][0] for line in found]
    assert {face["face"] for face in people} == {1}, "one person"
    assert all(overlap(face["box"], box) > 0.5 for face, box in zip(people, boxes, strict=True))
    told = [face["emotion"] for face in people]
    assert told[:20] == emotions[:20] and told[30:] == emotions[30:], "a change shows within 0.4 s"
    assert sum(before != after for before, after in zip(told, told[1:], strict=False)) == 1
    copy = video.Video(Path("out/walk.mp4"))
    assert (copy.frames, copy.rate) == (40, 25)
    picture = next(copy.read()).image.astype(int)
    assert (picture[..., 0] - picture[..., 2] > 60).sum() > 500


def test_the_table_of_a_film_has_a_line_when_a_face_comes_changes_or_leaves(here, predict, capsys):
    box = (200, 100, 150, 150)
    happy, angry = (scenes.scene([(scenes.face(emotion), box)]) for emotion in ("happy", "angry"))
    frames = [happy] * 20 + [angry] * 30 + [np.full_like(happy, scenes.GREY)] * 20
    film = scenes.video(here / "a.avi", frames, codec="MJPG")
    for _ in range(2):  # another call, another table
        assert len(predict(film)[2]) == 70, "the file has every frame"
        told = [line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]]
        assert [(line[1], line[-2]) for line in told] == [("1", "happy"), ("1", "angry"), ("no", "no")]
        assert told[0][0] == "0:00.0" and told[1][0] > "0:00.8" and told[2][0] >= "0:02.0"


def test_the_command_tells_the_rate_of_films_and_that_copies_are_silent(command, walk, capsys):
    for words, told in (([], "a second"), (["--out", "out"], "videos have no sound")):
        assert command(walk[0], *words) == 0
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("40 frames analysed, ") and line.endswith(told)


def test_people_of_fer2013_are_found_and_read_in_a_video(here, real_dataset):
    some = real_dataset.valid.take(np.arange(12))
    images = some.images[live_chain.find_boxes(some)["index"]][:8]  # in some, no face is found
    frames, boxes = [], []
    for number, image in enumerate(images):
        left, top = (10, 340)[number % 2], 20 + 10 * number  # one after the other, far apart
        picture = np.full((480, 640, 3), 120, np.uint8)
        picture[top : top + 288, left : left + 288] = live_chain.in_a_picture(image)[..., None]
        frames += [picture] * 12
        boxes.append((left + 72, top + 72, 144, 144))  # the image fills the middle half
    film = scenes.video(here / "people.avi", frames, codec="MJPG")
    files.predict_files([film], json_file="p.jsonl")
    shipped = load_model()
    alone = [shipped.classes[answer] for answer in shipped.probabilities(images).argmax(axis=1)]
    found = [
        [face for face in line["faces"] if overlap(face["box"], box) > 0.4]
        for line, box in zip(lines("p.jsonl")[11::12], boxes, strict=True)
    ]
    agree = [one[0]["emotion"] == emotion for one, emotion in zip(found, alone, strict=True) if one]
    assert len(images) == 8 and len(agree) >= 6 and np.mean(agree) > 0.7
    numbers = [one[0]["face"] for one in found if one]
    assert len(set(numbers)) == len(numbers), "everybody has a number of their own"


def test_every_nth_frame_is_analysed_and_the_copy_keeps_all(predict, walk):
    assert [line["frame"] for line in predict(walk[0], out="out", every=15)[1]] == [0, 15, 30]
    assert video.Video(Path("out/walk.mp4")).frames == 40


def test_only_the_region_is_searched_and_boxes_count_from_the_corner_of_the_picture(predict):
    (face,) = predict("couple.png", roi=(300, 150, 340, 330))[1][0]["faces"]
    assert face["emotion"] == "surprise" and overlap(face["box"], PLACED[1][1]) > 0.55


def test_boxes_of_a_photo_read_small_are_in_its_own_pixels(predict, couple, monkeypatch):
    cv2.imwrite("large.jpg", cv2.resize(couple, None, fx=3, fy=3))
    monkeypatch.setattr(media, "MOST_PIXELS", couple.shape[0] * couple.shape[1] * 9 // 4)
    found = predict("large.jpg")[1][0]["faces"]
    assert overlap(found[0]["box"], [3 * side for side in PLACED[0][1]]) > 0.55


@pytest.mark.parametrize("progress", [True, False])
def test_a_terminal_shows_the_remaining_time_unless_told_not_to(predict, walk, progress, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    predict(walk[0], every=10, progress=progress)
    shown = terminal.getvalue()
    assert ("0/40" in shown and "<" in shown and "frame/s" in shown) if progress else shown == ""


# --- bad files --------------------------------------------------------------------------------------


def test_bad_files_among_good_ones_cost_one_line_each(predict, capsys):
    folder = Path("holiday")
    (folder / "day 2").mkdir(parents=True)
    good = cv2.imencode(".jpg", BLANK)[1].tobytes()
    bad = {
        "010.jpg": b"",
        "020.jpg": good[: len(good) // 2],
        "030.jpg": b"a text file",
        "day 2/film.mp4": b"no film",
        "day 2/scan.tif": b"II*\0",
    }
    usual = {f"{number:03}.jpg": good for number in range(95)}
    for name, contents in (usual | bad | {"notes.txt": b"not meant", ".hidden.jpg": b"not meant"}).items():
        (folder / name).write_bytes(contents)
    summary, found, _ = predict("holiday", out="out")
    assert summary == files.Summary(files=92, faces=0, failed=5) and len(found) == 92
    errors = capsys.readouterr().err.splitlines()
    for name, line in zip(sorted(bad), sorted(errors), strict=True):
        assert line.startswith("ferlib: ") and name.split("/")[-1] in line
    assert sum(path.is_file() for path in Path("out").rglob("*")) == 92


def test_a_video_that_stops_keeps_its_rows_and_leaves_no_copy(here, predict, couple, capfd):
    cut = scenes.video(here / "cut.avi", [couple] * 40, codec="MJPG")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    summary, found, _ = predict(cut, out="out")
    assert (summary.files, summary.failed) == (0, 1) and 15 <= len(found) < 40
    (told,) = capfd.readouterr().err.splitlines()  # the decoder itself stays silent
    assert re.search(r"cut.avi: damaged, it stops after frame \d+ of 40", told)
    assert not list(Path("out").iterdir())


OUTSIDE = "wall.png: the region 500,0,50,50 lies outside of the picture of 160x120"


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("wall.png", {"roi": (500, 0, 50, 50)}, OUTSIDE),
        ("gone.jpg", {}, "gone.jpg: there is no such file"),
        ("empty", {}, "empty: no photo or video in it"),
        ("*.mp4", {}, "*.mp4: there is no such file"),
        ("", {}, "'': an empty name"),
    ],
)
def test_what_stands_for_nothing_is_said(predict, capsys, name, options, told):
    Path("empty").mkdir()
    assert predict(name, **options)[0] == files.Summary(files=0, faces=0, failed=1)
    assert f"ferlib: {told}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ({"csv_file": "file/a.csv"}, r"file/a.csv: cannot be written \("),
        ({"json_file": "folder"}, "folder: cannot be written, it is a folder"),
        ({"json_file": "/dev/null"}, "/dev/null: cannot be written, it is a pipe, a device"),
        ({"csv_file": "wall.png"}, "wall.png would be written over"),
        ({"summary_file": "wall.csv"}, "wall.png would be written over"),
        ({"summary_file": "b.csv", "json_file": "b.png"}, "b.png would be written over"),
        ({"csv_file": "a.txt", "json_file": "a.txt"}, "a.txt would be written over"),
        ({"csv_file": "c.partial", "json_file": "c"}, "c.partial would be written over"),
        ({"out": "folder", "json_file": "folder/wall.png"}, "folder/wall.png would be written over"),
        ({"out": "file"}, "file: annotated copies cannot be written there"),
        ({"out": "."}, "would replace wall.png: choose another folder"),
    ],
)
def test_results_that_cannot_be_written_stop_everything_at_once(here, network, monkeypatch, where, sentence):
    Path("file").write_text("in the way")
    Path("folder").mkdir()
    before = sorted(here.rglob("*"))
    monkeypatch.setattr(files, "search", lambda *_: pytest.fail("should have stopped before"))
    with pytest.raises(FerlibError, match=sentence):
        files.predict_files(["wall.png"], model=network, **where)
    assert sorted(here.rglob("*")) == before and cv2.imread("wall.png") is not None


def test_what_cannot_be_looked_at_costs_one_line(predict, capsys):
    Path("folder").mkdir()
    too_long = "x" * 300
    Path("folder", "locked.png").symlink_to(too_long)
    assert predict(too_long, "folder", "wall.png")[0] == files.Summary(files=1, faces=0, failed=2)
    first, second = capsys.readouterr().err.splitlines()
    assert f"{too_long}: there is no such file" in first and "locked.png: cannot be opened" in second


def test_one_copy_that_cannot_be_written_costs_one_line(predict, walk, capsys):
    for name in ("couple.png", "walk.mp4"):
        Path("out", name).mkdir(parents=True)
    summary, *_ = predict("couple.png", walk[0], "wall.png", out="out", every=20)
    assert (summary.files, summary.failed) == (1, 2)
    first, second = capsys.readouterr().err.splitlines()
    assert "out/couple.png: cannot be" in first and "out/walk.mp4: cannot be" in second
    assert sorted(path.name for path in Path("out").iterdir()) == ["couple.png", "walk.mp4", "wall.png"]


# --- the command ------------------------------------------------------------------------------------


def interrupt(*_):
    raise KeyboardInterrupt


def test_the_command_says_by_its_exit_code_whether_all_went_well(command, monkeypatch, capsys):
    Path("bad.jpg").write_text("text")
    assert command("couple.png", "--roi", "300,150,340,330", "--no-progress") == 0
    told = capsys.readouterr().out
    assert "surprise" in told.splitlines()[1] and len(told.splitlines()) == 2
    assert command("bad.jpg", "couple.png") == 1
    told = capsys.readouterr()
    assert "bad.jpg: not an image" in told.err and len(told.out.splitlines()) == 3
    assert command("couple.png", "--csv", "couple.png") == 1
    monkeypatch.setattr(files, "search", interrupt)
    assert command("couple.png") == 130
    assert capsys.readouterr().err.endswith("ferlib: stopped\n")


def test_an_interrupted_call_keeps_its_finished_lines(predict, walk, monkeypatch, capsys):
    original, left = files.follow, iter(range(25))

    def interrupted(*given):
        for pair in original(*given):
            if next(left, None) is None:
                raise KeyboardInterrupt
            yield pair

    monkeypatch.setattr(files, "follow", interrupted)
    Path("a.csv").write_text("of an earlier call")
    with pytest.raises(KeyboardInterrupt):
        predict(walk[0], out="out")
    assert len(rows("a.csv.partial")) == len(lines("a.jsonl.partial")) == 25
    assert "a.csv.partial" in capsys.readouterr().err
    assert Path("a.csv").read_text() == "of an earlier call" and not Path("a.jsonl").exists()
    assert not list(Path("out").iterdir())
    monkeypatch.setattr(files, "follow", original)
    assert len(predict(walk[0])[2]) == 40
    assert not list(Path().glob("*.partial*")), "every line of them stands in the whole files, too"


def test_what_interrupted_calls_left_goes_once_a_whole_file_has_it(here, predict):
    predict("couple.png")
    result = here / "a.csv"
    whole = result.read_bytes()
    left = {"": whole[:-20], ".2": b"", ".3": whole + b"more\n", "_copy": whole}
    for number, contents in left.items():
        Path(f"a.csv.partial{number}").write_bytes(contents)
    Path("a.csv.partial.4").symlink_to("couple.png")
    predict("couple.png")
    kept = {path.name.removeprefix("a.csv.partial") for path in Path().glob("*.partial*")}
    assert kept == {".3", ".4", "_copy"} and cv2.imread("couple.png") is not None
    assert result.read_bytes() == whole and Path("a.csv.partial.3").read_bytes() == whole + b"more\n"


def test_a_call_that_is_interrupted_at_once_leaves_nothing(here, predict, monkeypatch):
    before = sorted(here.iterdir())
    monkeypatch.setattr(files, "search", interrupt)
    with pytest.raises(KeyboardInterrupt):
        predict("wall.png")
    assert sorted(here.iterdir()) == before


def test_what_a_dead_process_left_is_removed(here, predict):
    left = leftovers.of_a_dead_process(here / "out" / "deep" / "film.mp4")
    mine = paths.beside(here / "out" / "b.png")
    mine.write_text("half")
    predict("wall.png", out="out")
    assert not left.exists() and mine.exists()


# --- people, crops and summaries --------------------------------------------------------------------


def test_the_summary_adds_up_the_seconds_of_each_face(predict, walk):
    found = predict(walk[0], summary_file="s.csv", every=2)[2]
    (row,) = rows("s.csv")
    assert (row["face"], float(row["from"]), float(row["seen"])) == ("1", 0, pytest.approx(1.6))
    assert float(row["happy"]) + float(row["angry"]) == pytest.approx(1.6) and float(row["angry"]) > 0.4
    assert {line["face"] for line in found} == {"1"} and Path("s.png").is_file()


def test_what_is_a_face_alone_is_not_searched(predict):
    with pytest.raises(FerlibError, match="either --crops or --roi"):
        predict("couple.png", crops=True, roi=(0, 0, 50, 50))
    with pytest.raises(FerlibError, match="leave roi or faces out"):
        reading.predict("couple.png", faces="given", roi=(0, 0, 50, 50))


def test_pictures_that_are_faces_are_read_whole(predict, capsys):
    for emotion in ("happy", "sad"):
        cv2.imwrite(f"{emotion}.png", scenes.face(emotion))
    summary, _, found = predict("happy.png", "sad.png", crops=True)
    assert summary.faces == 2 and [row["emotion"] for row in found] == ["happy", "sad"]
    cv2.imwrite("grey.png", np.full((48, 48), 128, np.uint8))
    predict("grey.png")
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.endswith("--crops") and len(told) <= 80


def test_uncertain_faces_are_called_unsure(predict):
    _, (line,), found = predict("couple.png", min_confidence=1.0)
    assert [face["emotion"] for face in (*found, *line["faces"])] == ["unsure"] * 4


def test_a_photo_without_faces_says_how_small_was_searched(predict, capsys):
    cv2.imwrite("wall.jpg", np.full((3000, 4000, 3), 200, np.uint8))
    summary, (line,), (row,) = predict("wall.jpg")
    assert summary == files.Summary(files=1, faces=0, failed=0) and line["faces"] == []
    assert (row["emotion"], row["x"], row["happy"]) == ("", "", "")
    assert f"no face from {faces.smallest_searched(4000, 3000)} pixels on" in capsys.readouterr().out


# --- which files, and where copies go ---------------------------------------------------------------


@pytest.fixture
def album(tmp_path):
    for name in ("a.jpg", "b.png", "sub/a.jpg", "sub/film.avi", "sub/film.mov", "odd[1].jpg", "out/a.jpg"):
        (tmp_path / "album" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "album" / name).write_bytes(b"")
    return tmp_path / "album"


def test_folders_globs_and_names_are_expanded_once_and_earlier_copies_left_out(album):
    patterns = [album / "b.png", f"{album}/*.jpg", album, str(album / "odd[1].jpg")]
    found, problems = files.expand(patterns, album / "out")
    expected = ["b.png", "a.jpg", "odd[1].jpg", "sub/a.jpg", "sub/film.avi", "sub/film.mov"]
    assert [path.relative_to(album).as_posix() for path, _ in found] == expected and problems == []


def test_every_file_gets_a_copy_of_its_own(album):
    found, _ = files.expand([album / "a.jpg", album / "sub" / "a.jpg", album / "sub" / "film.avi", album])
    targets = naming.targets(found, album / "copies")
    assert len({str(target).lower() for target in targets.values()}) == len(found) == 7
    assert targets[album / "sub" / "film.avi"].suffix == targets[album / "sub" / "film.mov"].suffix == ".mp4"


def test_links_that_lead_nowhere_or_up_again_stop_nothing(here, predict):
    for folder in ("a", "b", ".hidden"):
        Path("g", folder).mkdir(parents=True)
        cv2.imwrite(f"g/{folder}/1.png", BLANK)
    for name, to in {"a/u": "..", "a/v": "..", "b/w": "../a", "b/x.jpg": "x.jpg"}.items():
        Path("g", name).symlink_to(to)
    photos = [here / "g" / folder / "1.png" for folder in ("a", "b")]
    for pattern in ("g/**/*.png", "**/g/**/1.png", here / "**" / "1.png"):
        found, problems = files.expand([pattern])
        assert ([path.absolute() for path, _ in found], problems) == (photos, [])
    summary, *_ = predict("g", out="out")
    assert (summary.files, summary.failed) == (2, 1), "the endless link is told, the others are read"


def test_results_go_where_links_lead(here, network):
    for folder in ("links", "real"):
        Path(folder).mkdir()
    for name in ("a.csv", "s.csv", "couple.png"):
        Path("links", name).symlink_to(here / "real" / name)
    Path("real/a.csv").write_text("of an earlier call")
    results = {"csv_file": "links/a.csv", "summary_file": "links/s.csv", "out": "links"}
    files.predict_files(["couple.png"], model=network, **results)
    assert all(path.is_symlink() and path.stat().st_size for path in Path("links").iterdir())
    assert len(rows("real/a.csv")) == 2


def test_tildes_in_names_are_homes_or_nothing_special(here, network, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(here))
    cv2.imwrite("~tmp.jpg", BLANK)
    files.predict_files(["~tmp.jpg", "~/~tmp.jpg"], csv_file="~/a.csv", out="~/out", model=network)
    assert len(rows("a.csv")) == 1 and Path("out", "~tmp.jpg").is_file()
