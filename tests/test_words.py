from ferlib import words


def test_what_cannot_be_shown_is_written_out():
    assert words.printable("é 日\x1b[0m\n\udcff") == "é 日\\x1b[0m\\n\\udcff"


def test_numbers_are_written_with_space_and_sign():
    assert words.percent(0.6862) == "68.6 %" and words.percent(0.6862, 0) == "69 %"
    assert words.interval(0.612, 0.648) == "61.2 to 64.8"
    assert words.interval(0.612, 0.648, 0, " %") == "61 % to 65 %"
    assert words.points(-0.0123) == "−1.2 points" and words.points(0.02) == "+2.0 points"
    assert words.points(-0.0004) == "0.0 points"
    written = ["-0.00", "-0.05 %", "-1,000", "-0.5", "-inf", "-1e-05", "+0.0", "7"]
    assert list(map(words.minus, written)) == [
        "0.00",
        "−0.05 %",
        "−1,000",
        "−0.5",
        "−inf",
        "−1e-05",
        "+0.0",
        "7",
    ]
    assert [words.short(number) for number in (7, 58_423, 1_116_839)] == ["7", "58.4 k", "1.12 M"]
    assert [words.short(number) for number in (999, 999.6, 999_400, 999_999)] == [
        "999",
        "1 k",
        "999 k",
        "1 M",
    ]


def test_a_moment_of_a_film_has_no_sixtieth_second():
    moments = (0, 7.25, 59.94, 59.96, 67.5, 3599.99)
    assert [words.clock(one) for one in moments] == [
        "0:00.0",
        "0:07.2",
        "0:59.9",
        "1:00.0",
        "1:07.5",
        "60:00.0",
    ]


def test_names_are_joined_as_in_english():
    assert words.listed([]) == "" and words.listed(["a"]) == "a"
    assert words.listed(["a", "b"]) == "a and b" and words.listed(["a", "b", "c"]) == "a, b and c"
