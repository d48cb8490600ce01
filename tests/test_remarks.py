"""What is told of mistakes."""

import made_up
import pytest

from ferlib import remarks


@pytest.fixture(scope="module")
def runs():
    shares = {"shallow_plain": 0.5, "deep_plain": 0.7}
    return [made_up.run(id, share, seed, tested=False) for id, share in shares.items() for seed in (0, 1)]


def test_mistakes_name_the_best_and_the_worst_class():
    shares = [0.5, 0.6, 0.2, 0.95, 0.6, 0.6, 0.6]  # code order: fear is the third, happy the fourth
    text = remarks.mistakes(made_up.predictions(shares, images=2000, wrong={"fear": "sad"}))
    assert text.startswith("Of happy faces 9")
    assert "of fear faces" in text and "fear is most often taken for sad" in text
