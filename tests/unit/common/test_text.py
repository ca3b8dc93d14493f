"""What text is, for every service."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chat import domain as chat
from services.common.runtime.text import legible, text_problem, with_line_breaks
from services.inventory import domain as inventory
from services.notification import domain as notification
from services.order import domain as order
from services.user import domain as user

ORDINARY = {
    "a family, held together by joiners": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "Persian with a non-joiner inside of a word": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "Hindi with a joiner": "\u0915\u094d\u200d\u0937",
    "a price with a non-breaking space": "12\u00a0EUR",
    "French punctuation with a narrow one": "Quoi\u202f?",
    "Japanese with an ideographic space": "\u6771\u4eac\u3000\u5927\u962a",
    "a soft hyphen": "Donau\u00addampf",
    "marks of direction": "\u200fabc\u200e",
    "a flag of tags": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "a separator of lines": "one\u2028two",
    "private use": "\ue000",
    "a character that this Python does not know": "\U0001fbff",
}
TAKERS = {
    "what is said in a chat": lambda text: chat.new_message(chat.Member("r", "u", "n"), text, "").text == text,
    "a name in a chat": lambda text: chat.member("r", "u", text).name == text,
    "a client's own mark": lambda text: chat.new_message(chat.Member("r", "u", "n"), "t", text).client_id == text,
    "a reason": lambda text: order.check_resolution("ada", text) is None,
    "a title": lambda text: inventory.check_restock(inventory.Restock("k", "S", 1, text, 1)) is None,
    "a notification": lambda text: _sent(title=text, message=text, data={text: text}),
    "a user's name": lambda text: not user.problems(_named(text)),
}


def _named(name):
    return user.User("i", user.clean_name(name), "a@b.co", "", True, None, None)  # type: ignore[arg-type]


def _sent(**what):
    draft = notification.Draft("ada", notification.NotificationKind.INFO, **what)
    return notification.checked(draft, what["title"], for_everybody=False) is draft


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_taken_everywhere(text, taker):
    assert TAKERS[taker](ORDINARY[text])


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("bad", ["a\x00b", "a\x1bb", "a\x7fb", "a\x85b", "a\ud800b"])
def test_control_characters_and_halves_of_pairs_are_refused_everywhere(bad, taker):
    def taken() -> bool:
        try:
            return bool(TAKERS[taker](bad))
        except (
            chat.InvalidChatError,
            order.InvalidOrderError,
            inventory.InvalidRequestError,
            notification.InvalidNotificationError,
        ):
            return False

    assert not taken()


@given(st.characters(codec="utf-8"))
def test_nothing_but_control_characters_is_refused(letter):
    control = unicodedata.category(letter) == "Cc"
    assert bool(text_problem(letter, 1)) == control
    assert bool(text_problem(letter, 1, lines=True)) == (control and letter not in "\n\t")


def test_lengths_are_counted_in_code_points() -> None:
    family = ORDINARY["a family, held together by joiners"]
    assert (text_problem(family, 7), text_problem(family, 6)) == ("", "must be at most 6 characters long")


def test_spaces_alone_are_no_text_where_one_is_needed() -> None:
    for blank in ("", " ", "\n", "\u00a0\u3000"):
        assert text_problem(blank, 5, required=True, lines=True) == "is required"
        assert not text_problem(blank, 5, lines=True)


def test_lines_end_in_one_way() -> None:
    assert with_line_breaks("a\r\nb\rc\n\r\nd") == "a\nb\nc\n\nd"
    assert chat.new_message(chat.Member("r", "u", "n"), "a\r\n\tb", "").text == "a\n\tb"


@given(st.text())
def test_a_legible_text_has_no_problem_and_one_without_a_problem_is_legible(text: str) -> None:
    assert text_problem(legible(text), len(text), lines=True) == ""
    if not text_problem(text, len(text), lines=True):
        assert legible(text) == text


def test_what_is_not_legible_is_replaced() -> None:
    assert legible("a\r\nb\x00\ud800\tc") == "a\nb\ufffd\ufffd\tc"
