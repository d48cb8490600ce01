import pytest

from ferlib import words


def test_what_cannot_be_shown_is_written_out():
    assert words.printable("é 日\x1b[0m\n\udcff") == "é 日\\x1b[0m\\n\\udcff"


def test_numbers_are_written_with_space_and_sign():
    assert words.percent(0.6862) == "68.6 %" and words.percent(0.6862, 0) == "69 %"
    assert words.interval(0.612, 0.648) == "61.2 to 64.8"
    assert words.interval(0.612, 0.648, 0, " %") == "61 % to 65 %"
    assert words.points(-0.0123) == "−1.2 points" and words.points(0.02) == "+2.0 points"
    assert words.points(-0.0004) == "0.0 points"
    written = {"-0.00": "0.00", "-0.05 %": "−0.05 %", "-1,000": "−1,000", "-0.5": "−0.5", "-inf": "−inf"}
    for number, text in (written | {"-1e-05": "−1e-05", "+0.0": "+0.0", "7": "7"}).items():
        assert words.minus(number) == text
    short = {7: "7", 58_423: "58.4 k", 1_116_839: "1.12 M", 999: "999", 999.6: "1 k", 999_400: "999 k"}
    for number, text in (short | {999_999: "1 M"}).items():
        assert words.short(number) == text


def test_a_moment_of_a_film_has_no_sixtieth_second():
    moments = {0: "0:00.0", 7.25: "0:07.2", 59.94: "0:59.9", 59.96: "1:00.0", 67.5: "1:07.5"}
    for seconds, text in (moments | {3599.99: "60:00.0"}).items():
        assert words.clock(seconds) == text


def test_names_are_joined_as_in_english():
    assert words.listed([]) == "" and words.listed(["a"]) == "a"
    assert words.listed(["a", "b"]) == "a and b" and words.listed(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize(
    ("p", "at_most", "written"),
    [(0.0085, False, "0.009"), (0.0085, True, "≤ 0.009"), (0.009, False, "0.009"), (1.0, False, "1.000")],
)
def test_p_values_are_rounded_up_whether_measured_or_a_bound(p, at_most, written):
    assert words.p_value(p, at_most) == written
