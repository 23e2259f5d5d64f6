"""What other sub-apps ask of chats before they let somebody do something there."""

from collections.abc import AsyncIterator

import pytest

from messenger.apps.chats import door, service
from messenger.db.database import Database
from messenger.errors import ChatNotFound, Forbidden, GroupNotFound, UserNotFound
from messenger.identity import Identity, SessionId, UserId
from messenger.log.store import append
from tests.actors import Person

pytestmark = [pytest.mark.usefixtures("floors_are_true"), pytest.mark.shared]


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn, append=append)
    yield database
    await database.close()


def identity(person: Person, **more: bool) -> Identity:
    return Identity(UserId(int(person.user_id)), SessionId(1), **more)


async def test_a_chat_is_open_to_those_in_it_and_on_a_rig_to_every_reader(
    db: Database, alice: Person, bob: Person, mallory: Person
) -> None:
    chat = int(await alice.opens_chat("lunch", members=[bob]))

    async with db.reading() as tx:
        assert (await door.require_readable(tx, identity(alice), chat)).role == "owner"
        assert (await door.require_readable(tx, identity(bob), chat)).effective_role == "member"
        assert (await door.require_readable(tx, None, chat)).role is None
        assert (await door.require_readable(tx, identity(mallory, reads_all=True), chat)).role is None
        with pytest.raises(ChatNotFound):
            await door.require_readable(tx, identity(mallory), chat)
        with pytest.raises(ChatNotFound):
            await door.require_readable(tx, None, chat + 1)


async def test_a_right_is_for_those_who_have_it(db: Database, alice: Person, bob: Person, mallory: Person) -> None:
    chat = int(await alice.opens_chat("lunch", members=[bob]))

    async with db.reading() as tx:
        assert (await door.require(tx, identity(alice), chat, "delete_message")).chat_id == chat
        with pytest.raises(Forbidden):
            await door.require(tx, identity(bob), chat, "delete_message")
        for stranger in (identity(mallory), identity(mallory, reads_all=True)):
            with pytest.raises(ChatNotFound):
                await door.require(tx, stranger, chat, "read")


async def test_a_guest_speaks_as_somebody_in_the_chat(db: Database, alice: Person, mallory: Person) -> None:
    chat = int(await alice.opens_chat("lunch"))

    assert await service.guest(db, chat, int(alice.user_id)) == int(alice.user_id)
    for unknown in (None, int(mallory.user_id), 999999):
        with pytest.raises(UserNotFound):
            await service.guest(db, chat, unknown)
    with pytest.raises(ChatNotFound):
        await service.guest(db, chat + 1, int(alice.user_id))


async def test_a_group_leads_its_people_to_its_chat(db: Database, alice: Person, mallory: Person) -> None:
    lunch = int(await alice.opens_chat("lunch"))
    made = await alice.post("/v1/groups", {"name": "hiking", "participant_user_ids": []})
    group = int(made.expecting(201).json["group_id"])

    assert await service.chat_of_group(db, identity(alice), group) == group
    for who, number in ((mallory, group), (alice, lunch), (alice, 999999)):
        with pytest.raises(GroupNotFound):
            await service.chat_of_group(db, identity(who), number)


async def test_writing_to_somebody_is_opening_the_chat_with_them(db: Database, alice: Person, bob: Person) -> None:
    chat = await service.direct_chat(db, identity(alice), UserId(int(bob.user_id)))

    assert str(chat) == await bob.talks_to(alice)
    with pytest.raises(UserNotFound):
        await service.direct_chat(db, identity(alice), UserId(999999))
