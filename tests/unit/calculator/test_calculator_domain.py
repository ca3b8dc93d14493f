"""The calculator's rules, by table."""

from __future__ import annotations

import math

import pytest

from services.calculator import app, domain

PRIMES = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]


@pytest.mark.parametrize(
    ("operation", "a", "b", "expected"),
    [
        (domain.add, 1, 2, 3),
        (domain.add, -1.5, 1.5, 0),
        (domain.add, 1e308, -1e308, 0),
        (domain.multiply, 6, 7, 42),
        (domain.multiply, -0.5, 4, -2),
        (domain.multiply, 1e-200, 1e-200, 0),
    ],
)
def test_two_numbers_give_one(operation, a, b, expected):
    assert operation(a, b) == expected


@pytest.mark.parametrize("operation", [domain.add, domain.multiply])
@pytest.mark.parametrize(
    ("a", "b", "fields"),
    [
        (math.nan, 1, {"a"}),
        (1, math.inf, {"b"}),
        (-math.inf, math.nan, {"a", "b"}),
    ],
)
def test_what_is_not_a_finite_number_is_refused_by_name(operation, a, b, fields):
    with pytest.raises(domain.InvalidNumbersError) as caught:
        operation(a, b)
    assert caught.value.fields == dict.fromkeys(fields, "must be a finite number")


@pytest.mark.parametrize(("operation", "a", "b"), [(domain.add, 1e308, 1e308), (domain.multiply, 1e200, -1e200)])
def test_a_result_beyond_a_double_is_refused(operation, a, b):
    with pytest.raises(domain.TooLargeError, match="larger than a double can hold"):
        operation(a, b)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(0, []), (1, []), (2, [2]), (3, [2, 3]), (28, PRIMES[:-1]), (29, PRIMES), (30, PRIMES)],
)
def test_primes_come_in_order_up_to_and_including_the_limit(limit, expected):
    assert list(domain.primes(limit)) == expected


def test_there_are_9592_primes_below_the_largest_limit() -> None:
    assert sum(1 for _ in domain.primes(domain.MAX_LIMIT)) == 9592


@pytest.mark.parametrize("limit", [-1, domain.MAX_LIMIT + 1])
def test_a_limit_out_of_bounds_is_refused_before_the_first_prime(limit):
    with pytest.raises(domain.InvalidNumbersError) as caught:
        domain.primes(limit)
    assert caught.value.fields == {"limit": "must be from 0 to 100000"}


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([], 0), ([1, 2, 3], 6), ([0.1] * 10, 1.0), ([1.0, 1e100, 1.0, -1e100], 2.0), ([-5, 5], 0)],
)
def test_a_sum_loses_nothing_on_its_way(numbers, expected):
    total = domain.RunningSum()
    for number in numbers:
        total.add(number)
    assert total.value == expected


def test_a_sum_names_the_number_that_is_none() -> None:
    total = domain.RunningSum()
    total.add(1)
    with pytest.raises(domain.InvalidNumbersError) as caught:
        total.add(math.nan)
    assert caught.value.fields == {"numbers[1].value": "must be a finite number"}


def test_a_sum_beyond_a_double_is_refused() -> None:
    total = domain.RunningSum()
    total.add(1.7e308)
    with pytest.raises(domain.TooLargeError):
        total.add(1.7e308)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 + 3", "5"),
        ("4*5", "20"),
        (" -1.5 + .5 ", "-1"),
        ("0.1 + 0.2", "0.3"),
        ("2e3 * 2", "4000"),
        ("1e308 * 10", "the result is larger than a double can hold"),
        ("1e999 + 1", "a must be a finite number"),
        ("hello", "hello"),
        ("1 + 2 + 3", "1 + 2 + 3"),
        ("", ""),
    ],
)
def test_a_message_is_worked_out_or_repeated(text, expected):
    assert domain.answer(text) == expected


def test_a_message_that_is_too_long_is_refused() -> None:
    with pytest.raises(domain.InvalidNumbersError, match="text must be at most 1000 characters long"):
        domain.answer("1" * 1001)


async def test_the_pace_is_kept_between_primes_and_not_before_the_first() -> None:
    class Counting:
        waits = 0

        async def next(self) -> None:
            self.waits += 1

    pace = Counting()
    seen = [(prime, pace.waits) async for prime in app.paced_primes(7, pace)]
    assert seen == [(2, 0), (3, 1), (5, 2), (7, 3)]
    assert pace.waits == 3
