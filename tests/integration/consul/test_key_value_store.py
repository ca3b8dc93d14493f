"""The KV store: check-and-set and recursion."""

from __future__ import annotations

from meshwright.consul import Blocking


async def test_a_key_is_read_back_byte_for_byte(consul):
    value = bytes(range(256))
    assert await consul.kv_put("meshwright/policy/user", value)
    answer = await consul.kv_get("meshwright/policy/user")
    assert answer.value.key == "meshwright/policy/user"
    assert answer.value.value == value
    assert answer.value.modify_index == answer.value.create_index == answer.index


async def test_a_missing_key_is_none_and_an_empty_one_is_not(consul):
    assert (await consul.kv_get("nothing")).value is None
    await consul.kv_put("empty", b"")
    assert (await consul.kv_get("empty")).value.value == b""


async def test_check_and_set_writes_only_over_what_was_read(consul):
    assert await consul.kv_put("key", b"one", cas=0)
    assert not await consul.kv_put("key", b"two", cas=0)
    seen = (await consul.kv_get("key")).value.modify_index
    assert await consul.kv_put("key", b"three", cas=seen)
    assert not await consul.kv_put("key", b"four", cas=seen)
    assert (await consul.kv_get("key")).value.value == b"three"


async def test_check_and_set_guards_a_deletion_too(consul):
    await consul.kv_put("key", b"one")
    seen = (await consul.kv_get("key")).value.modify_index
    await consul.kv_put("key", b"two")
    assert not await consul.kv_delete("key", cas=seen)
    assert (await consul.kv_get("key")).value.value == b"two"


async def test_a_prefix_lists_its_keys_sorted_and_deletes_them_together(consul):
    for key in ("policy/b", "policy/a", "policy/a/deep", "other"):
        await consul.kv_put(key, key.encode())
    listed = (await consul.kv_list("policy/")).value
    assert [(pair.key, pair.value) for pair in listed] == [
        ("policy/a", b"policy/a"),
        ("policy/a/deep", b"policy/a/deep"),
        ("policy/b", b"policy/b"),
    ]
    assert await consul.kv_delete("policy/", recurse=True)
    assert (await consul.kv_list("policy/")).value == ()
    assert (await consul.kv_get("other")).value is not None


async def test_deleting_what_is_not_there_is_fine(consul):
    assert await consul.kv_delete("nothing")


async def test_keys_with_odd_characters_survive(consul):
    key = "a b/ü?&=#%25"
    await consul.kv_put(key, b"x")
    assert (await consul.kv_get(key)).value.key == key
    assert [pair.key for pair in (await consul.kv_list("a b/")).value] == [key]


async def test_a_short_wait_on_an_unchanged_key_answers_with_the_same_index(consul):
    await consul.kv_put("key", b"x")
    first = await consul.kv_get("key")
    again = await consul.kv_get("key", Blocking(first.index, wait=0.05))
    assert again == first
