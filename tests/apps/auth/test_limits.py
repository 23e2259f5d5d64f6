"""Whose tries are counted together. Arithmetic only."""

import pytest

from messenger.apps.auth.limits import login_attempt
from messenger.web.clients import network_of


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0db8:0001:0002::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
        ("", ""),
        ("x" * 1000, "x" * 64),
    ],
)
def test_addresses_that_one_person_can_change_between_count_as_one(address, counts_as):
    assert network_of(address) == counts_as


def test_spellings_of_a_name_count_as_one_and_the_name_is_not_kept():
    assert login_attempt("Alice", "::1") == login_attempt(" ＡLICE ", "::2")
    assert login_attempt("alice", "::1").account != login_attempt("bob", "::1").account
    assert b"alice" not in login_attempt("alice", "::1").account


def test_any_text_at_all_can_be_typed_as_a_name():
    assert len(login_attempt("\ud800" + "x" * 100_000, "").account) == 32
