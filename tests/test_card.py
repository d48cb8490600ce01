"""The network that ships comes from a named run, says how good it is, can be checked on one's own data."""

import re
from dataclasses import replace

import made_up
import numpy as np
import pytest

from ferlib import cli, paths
from ferlib.data import fer2013
from ferlib.labels import FerlibError
from ferlib.live import network
from ferlib.tools import card
from ferlib.train import models, predicting, record

FACTS = {"images": 120, "versions": "Python 3", "date": "2026-01-01", "commit": "abc"}


@pytest.fixture(scope="module")
def dataset():
    return made_up.dataset()


@pytest.fixture
def runs(dataset, tmp_path, monkeypatch):
    """Two finished runs of the logistic row, the second better on PublicTest, and where the card goes."""
    runs = []
    for seed in (0, 1):
        folder = tmp_path / f"seed{seed}"
        folder.mkdir()
        model, generator = models.build("logistic"), np.random.default_rng(seed)
        model.set_weights([generator.normal(0, 0.02, weight.shape) for weight in model.weights])
        model.save_weights(folder / record.WEIGHTS_FILE)
        made = made_up.run("logistic", seed=seed, profile="quick")
        said = record.rounded(predicting.predict(model, dataset.valid))
        facts = made.result | FACTS | {"judged_accuracy": 0.5 + seed / 10}
        runs.append(replace(made, directory=folder, result=facts, valid=said, test=said))
    monkeypatch.setattr(record, "runs", lambda _: runs)
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "package")
    monkeypatch.setenv("FERLIB_WEIGHTS", str(tmp_path / "weights"))
    return runs


def test_the_best_seed_on_public_test_goes_where_it_is_asked_for_with_its_card(runs, dataset, tmp_path):
    card_file = tmp_path / "weights" / "MODEL_CARD.md"
    assert "seed 1" in card.ship("logistic", dataset)
    source = network.load_model().metadata["source"]
    assert (source["experiment"], source["seed"], source["profile"]) == ("logistic", 1, "quick")
    assert "crowd_accuracy" not in source, "nobody voted on these images"
    assert not list((tmp_path / "package").rglob("*")), "the shipped ones are left alone"
    text = card_file.read_text()
    assert network.load_model().metadata["sha256"] in text
    assert f"{100 * runs[1].test.accuracy:.1f} % of 120 images of PrivateTest" in text
    assert "$" not in text and len(re.findall(r"^\| (?:angry|happy) \|", text, re.MULTILINE)) == 2
    runs[0] = replace(runs[0], profile="full", test=None)
    assert "seed 0, profile full" in card.ship("logistic", dataset), "rather than a better quick one"
    text = card_file.read_text()
    assert "images of PublicTest" in text and "has not been opened for this run" in text
    assert "no number here is a finding" not in text
    card.ship("logistic", replace(dataset, is_demo=True, source=fer2013.DEMO_SOURCE))
    assert card_file.read_text().splitlines()[2].startswith("**It saw demo faces, not FER-2013")


def test_a_card_tells_both_truths(runs, demo_dataset):
    """People see the neighbour of each label, and that is what the network says; so it was taught."""
    valid, everyone = demo_dataset.valid, np.arange(len(demo_dataset.valid))
    seen = (valid.labels + 1) % 7
    cast = np.zeros((len(valid), 10), np.uint8)
    cast[everyone, seen], cast[everyone, (seen + 1) % 7] = 7, 3
    voted = replace(demo_dataset, valid=replace(valid, votes=cast))
    said = np.full((len(valid), 7), 0.02, "float32")
    said[everyone, seen] = 0.88
    said[::4] = np.roll(said[::4], -1, axis=1)  # a quarter as labelled
    predictions = replace(runs[0].valid, labels=valid.labels, probabilities=said, names=valid.names)
    row = replace(runs[0].experiment, target="crowd")
    run = replace(runs[0], valid=predictions, test=None, experiment=row)
    text = card.model_card(run, {"bytes": 10**6, "sha256": "0" * 64, "temperature": 2.0}, voted)
    share = (everyone % 4 > 0).mean()
    assert f"By ten people: {100 * share:.1f} %" in text and f"labels: {100 - 100 * share:.1f} %" in text
    assert "what ten people see (FER+)" in text and "against the shares of people's votes" in text
    happy = next(line for line in text.splitlines() if line.startswith("| happy |")).split(" | ")
    assert [int(happy[place]) for place in (1, 4)] == [(truth == 3).sum() for truth in (seen, valid.labels)]


@pytest.mark.parametrize(
    ("model", "profile", "is_demo", "reason"),
    [
        ("shallow_cnn", "full", True, "it learned from drawn demo faces"),
        ("shallow_cnn", "quick", False, "it was trained quickly.*ferlib train logistic --profile full"),
        ("logistic", "full", False, "it is a baseline"),
    ],
)
def test_poor_networks_do_not_ship(runs, dataset, tmp_path, monkeypatch, model, profile, is_demo, reason):
    monkeypatch.setattr(card.export, "export", lambda *_: pytest.fail("exported"))
    row = replace(runs[0].experiment, model=model)
    runs[:] = [replace(run, profile=profile, experiment=row) for run in runs]
    for named in ("", "labels", str(tmp_path / "package" / "weights" / "crowd")):  # not another folder
        monkeypatch.setenv("FERLIB_WEIGHTS", named)
        with pytest.raises(FerlibError, match=f"{reason}.*FERLIB_WEIGHTS"):
            card.ship("logistic", replace(dataset, is_demo=is_demo))
    assert not list((tmp_path / "package").rglob("*"))


def test_good_networks_ship_with_their_card_in_the_package(runs, dataset, tmp_path, monkeypatch):
    row = replace(runs[0].experiment, model="shallow_cnn")
    runs[:] = [replace(run, profile="full", experiment=row) for run in runs]
    monkeypatch.delenv("FERLIB_WEIGHTS")
    monkeypatch.setattr(models, "build", lambda _, classes, **__: models.MODELS["logistic"](classes))
    assert "profile full" in card.ship("logistic", dataset)
    assert len(list(paths.record().glob("logistic-*.weights.h5"))) == 1
    folder = tmp_path / "package" / "weights" / "labels"
    assert {file.name for file in folder.iterdir()} == {"network.onnx", "network.json", "MODEL_CARD.md"}


@pytest.mark.parametrize("name", network.SHIPPED)
def test_the_committed_card_describes_the_committed_network(name):
    text = (network.weights_folder(name) / "MODEL_CARD.md").read_text()
    assert network.load_model(name).metadata["sha256"] in text
    assert "By ten people: " in text and "By FER-2013's labels: " in text
    fixed = [line for line in card.TEMPLATE.read_text().splitlines() if "$" not in line]
    assert set(fixed) <= set(text.splitlines()), "what is said of every network is said of this one"
    assert any("Wilson's" in line and "bootstrapped" in line for line in fixed)


def test_the_command_names_what_can_not_be_shipped(demo_dataset, monkeypatch, capsys):
    monkeypatch.setattr(fer2013, "load", lambda source, **_: demo_dataset)
    assert cli.main(["export", "deep_both"]) == 1
    assert "no finished run of deep_both has its weights here" in capsys.readouterr().err
