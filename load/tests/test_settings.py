"""Options mean the same on the command line and in the web form."""

import pytest

from onejob_load.settings import OPTIONS, Settings, SettingsError, settings_from


def test_no_values_are_the_defaults():
    assert settings_from({}) == Settings()


def test_values_come_as_text_from_a_form():
    chosen = settings_from({"racers": " 32 ", "hold": "0.2", "arrival": "open"})

    assert (chosen.racers, chosen.hold, chosen.arrival) == (32, 0.2, "open")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"racers": "many"}, "--racers must be a whole number, not 'many'"),
        ({"racers": "1"}, "--racers must be from 2 to 256, not 1"),
        ({"hold": "nan"}, "--hold must be from 0 to 3600, not nan"),
        ({"hold": "-1"}, "--hold must be from 0 to 3600, not -1"),
        ({"arrival": "ajar"}, "--arrival must be one of closed, open, not 'ajar'"),
        ({"thresholds": "speed>9"}, "--thresholds: 'speed' is not measured"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(values, sentence):
    with pytest.raises(SettingsError) as refused:
        settings_from(values)

    assert str(refused.value).startswith(sentence)


def test_a_run_without_any_scenario_is_refused():
    nothing = dict.fromkeys(Settings().weights(), "0")

    with pytest.raises(SettingsError, match="every scenario has the weight 0"):
        settings_from(nothing)


def test_every_option_explains_itself_and_accepts_its_own_default():
    for option in OPTIONS:
        assert option.help.endswith(".")
        assert option.parse(option.default) == option.default
