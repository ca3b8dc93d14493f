"""What a notification may be, and what users are told of orders."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from demo.notification.v1 import notification_pb2 as pb
from services.notification import domain
from services.notification.adapters import subject_of, token
from services.notification.domain import Draft, InvalidNotificationError, NotificationKind


def test_the_kinds_are_the_contracts() -> None:
    assert {kind.name: kind.value for kind in NotificationKind} == dict(pb.NotificationType.items())


def test_all_that_is_wrong_is_named_at_once() -> None:
    draft = Draft("", NotificationKind.INFO, "", "m" * 2001, {"k": "v" * 501})
    with pytest.raises(InvalidNotificationError) as caught:
        domain.checked(draft, "k" * 129, for_everybody=False)
    assert set(caught.value.fields) == {"user_id", "title", "message", "data", "idempotency_key"}


@pytest.mark.parametrize(
    "draft",
    [
        Draft("a", NotificationKind.INFO, "t" * 200, "m" * 2000, {str(n): "v" * 500 for n in range(20)}),
        Draft("~" * 128, NotificationKind.USER_MESSAGE, "t", ""),
    ],
)
def test_the_limits_themselves_are_allowed(draft):
    assert domain.checked(draft, "k" * 128, for_everybody=False) is draft


def test_more_entries_than_allowed_are_refused() -> None:
    with pytest.raises(InvalidNotificationError):
        domain.checked(
            Draft("", NotificationKind.INFO, "t", "m", {str(n): "" for n in range(21)}), "", for_everybody=True
        )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


@given(
    st.sampled_from(["OrderPlaced", "OrderCompleted", "OrderRejected", "OrderNeedsAttention", "StepCompleted", "x"]),
    st.text(),
    st.dictionaries(st.sampled_from(["user_id", "reason", "total_cents"]) | st.text(), JSON),
)
@example("OrderPlaced", "\x08", {"user_id": "0"})
@example("OrderRejected", "1", {"user_id": "0", "reason": "\ud800 \x00\x7f"})
@example("OrderCompleted", "1", {"user_id": "0", "total_cents": 10**501})
def test_whatever_an_event_holds_what_is_told_of_it_is_valid(event, order_id, about):
    draft = domain.of_order(event, order_id, about)
    if draft is not None:
        assert domain.checked(draft, "", for_everybody=False).kind is NotificationKind.ORDER_UPDATE
        assert draft.user_id == about["user_id"]


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128))
def test_every_user_id_is_one_token_of_a_subject_and_no_two_share_one(user_id):
    made = token(user_id)
    assert made
    assert not set(made) & set(" .*>\t\r\n")
    assert unquote(made) == user_id
    assert subject_of(user_id).count(".") == 2
