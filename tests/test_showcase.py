import numpy as np
import pandas as pd
import pytest
import scenes
from skimage import data as photos

from ferlib import faces
from ferlib.evaluate import live_chain
from ferlib.figures import showcase, style
from ferlib.labels import CLASSES
from ferlib.live import draw, reading
from ferlib.live.answers import Face

pytestmark = pytest.mark.usefixtures("figures")
BOX = (240, 160, 150, 150)
PICTURE = scenes.scene([(scenes.face("happy"), BOX)])


@pytest.fixture(scope="module")
def cases():
    return showcase.hard_cases(photos.astronaut(), photos.camera(), photos.chelsea())


def person(emotion, box=BOX):
    return Face(box, {name: 0.7 if name == emotion else 0.05 for name in CLASSES})


def test_a_hand_held_film_moves_a_little_and_can_be_repeated(network):
    film = list(showcase.hand_held(PICTURE, 12))
    assert len(film) == 12 and film[0].shape == PICTURE.shape
    np.testing.assert_array_equal(film[-1], list(showcase.hand_held(PICTURE, 12))[-1])
    assert (film[3] != film[4]).mean() > 0.5
    (people,) = reading.find([reading.Frame(film[0])], network, "yunet", None)
    assert faces.overlap(people[0].box, BOX) > 0.5


def test_answers_are_those_at_the_place_asked_for(network):
    images = np.stack([scenes.face(emotion) for emotion in CLASSES])[..., None]
    frames, boxes = live_chain.parade(images)
    read = showcase.answers_in([*frames, np.zeros_like(frames[0])], [*boxes, BOX], network)
    assert [face and face.emotion for face in read] == [*CLASSES, None]
    elsewhere = [((left + 320) % 640, top, *size) for left, top, *size in boxes]
    assert showcase.answers_in(frames, elsewhere, network) == [None] * 7


def test_cases_know_where_their_face_is(cases, network):
    read = showcase.read_cases(cases, network)
    assert list(read) == list(cases) and cases["as it is"].is_read_rightly(read["as it is"])
    plain = cases["as it is"]
    x, y, width, height = plain.box
    assert cases["far away"].box == (240 + x / 4, 180 + y / 4, width / 4, height / 4)
    assert cases["in the dark"].picture.mean() < 8 < plain.picture.mean()
    covered = cases["mouth covered"].picture[y + height * 3 // 4, x : x + width]
    assert np.ptp(covered, axis=0).max() == 0
    assert plain.is_read_rightly([person("sad", plain.box)])
    assert not plain.is_read_rightly([person("sad", (0, 300, 90, 90))]), "found at another place"
    assert not plain.is_read_rightly([person("sad", plain.box)] * 2), "and something invented"
    assert cases["a cat"].is_read_rightly([]) and not cases["a cat"].is_read_rightly([person("sad")])
    assert not cases["from the side"].is_read_rightly([])


def test_the_figure_of_cases_colours_titles_by_success(cases):
    read = {name: [] for name in cases} | {"as it is": [person("happy", cases["as it is"].box)]}
    fig = showcase.reading_of_cases(cases, read)
    titles = {ax.get_title("left").split("\n")[0]: ax._left_title for ax in fig.axes}
    assert titles["as it is"].get_text() == "as it is\nhappy 70 %"
    colours = {name: title.get_color() for name, title in titles.items()}
    assert colours["as it is"] == colours["a cat"] == style.RIGHT and colours["far away"] == style.WRONG


def test_the_steps_are_shown_for_the_classic_pipeline_and_for_the_one_in_use():
    picture = PICTURE.copy()
    picture[..., 2] //= 2  # some colour
    fig = showcase.steps(picture, {"haar": person("sad"), "yunet": person("fear", (*BOX[:3], 130))})
    titles = [ax.get_title("left") for ax in fig.axes]
    assert titles[:5] == ["1  grey", "2  Haar finds", "3  cut out", "4  resized", "5  blue box"]
    assert titles[5:7] == ["1  colour", "2  YuNet finds"] and titles[8] == "4  grey, resized"
    views = [ax.images[0].get_array() for ax in fig.axes]
    coloured = [bool((np.ptp(view, axis=2) > 0).any()) for view in views]
    assert coloured == [False, True, False, False, True] + [True, True, True, False, True], "boxes are blue"
    for _, boxed, cut, small, window in (views[:5], views[5:]):
        assert cut.shape[:2] == (150, 150) and small.shape[:2] == (48, 48)
        blue = [(view == draw.BLUE[::-1]).all(axis=2).sum() for view in (cut, boxed, window)]
        assert blue[0] == 0 < blue[1] and blue[2] > 1500, "a window and its label"


def test_the_figure_of_margins_marks_median_and_margin_in_use():
    boxes = pd.DataFrame({"share": [0.9, 0.95, 1.1]})
    table = pd.DataFrame({"margin": [-0.1, 0, 0.1], "accuracy": [0.5, 0.6, 0.55], "standard_error": 0.02})
    left, right = showcase.framing(boxes, table, 0.02).axes
    assert sum(bar.get_height() for bar in left.patches) == 3
    assert left.lines[0].get_xdata()[0] == 0.95 and right.lines[-1].get_xdata()[0] == 0.02
    np.testing.assert_allclose(np.asarray(right.lines[0].get_ydata(), float), [0.5, 0.6, 0.55])


def test_smoothing_draws_gaps_where_no_face_was_found_and_counts_changes():
    raw, smooth = [person("happy"), None, person("sad"), person("happy")], [person("happy")] * 4
    ax, labels = showcase.smoothing(raw, smooth).axes
    marks = {tuple(patch.get_xy()): patch.get_facecolor() for patch in labels.patches}
    assert len(marks) == 7, "a mark a frame and way in which the face was found"
    assert marks[-0.5, 1.1] == marks[2.5, 1.1] != marks[1.5, 1.1]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.7, np.nan, 0.05, 0.7])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), 0.7)
    names = [text.get_text() for text in ax.get_legend().texts]
    assert names == [f"{one}, {way}" for one in ("happy", "sad") for way in ("each frame", "running average")]
    assert ax.get_ylim() == pytest.approx((0, 0.75)), "as much of the scale as is needed"
    ax.set_ylim(0.20, 0.38)
    np.testing.assert_allclose(np.diff(ax.get_yticks()), 0.05, err_msg="not 2.5 %, written as 2 % and 3 %")
    assert showcase.label_changes(raw) == 2 and showcase.label_changes(smooth) == 0


def test_a_running_average_forgets_with_time():
    happy, sad = person("happy"), person("sad")
    mean = showcase.averaged([happy, None, *[sad] * 12, *[sad] * 60])
    assert mean[0].probabilities == happy.probabilities and mean[1] is None
    left = [(one.probabilities["happy"] - 0.05) / 0.65 for one in mean[2:]]
    assert left[0] == pytest.approx(np.exp(-1 / 12)) and left[11] == pytest.approx(np.exp(-1)), "0.4 seconds"
    assert mean[-1].emotion == "sad" and sum(mean[5].probabilities.values()) == pytest.approx(1)
