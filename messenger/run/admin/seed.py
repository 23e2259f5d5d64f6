"""Demo people, chats and messages, made through the services. What exists already is not changed.

Repeatable: people are found by e-mail, chats by name among those of their owner, messages by client_id.
"""

import argparse
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from messenger.apps.auth import service as accounts
from messenger.apps.auth.context import AuthContext
from messenger.apps.auth.schemas import Registration
from messenger.apps.chats import members
from messenger.apps.chats import service as chats
from messenger.apps.messages import service as messages
from messenger.apps.messages.sending import Sender
from messenger.apps.messages.service import Outgoing
from messenger.db.database import Database
from messenger.errors import ChatNotFound, IdempotencyConflict, UserAlreadyExists
from messenger.run.admin import context, people
from messenger.run.admin.context import BY_HAND
from messenger.run.admin.people import Person
from messenger.run.cli import USAGE, Refusal
from messenger.settings import Config, Mode

PASSWORD = "test"
HOW_MANY = 3
LOCK = 7236850  # two servers that start at once make only one set
PATIENCE = 60.0  # seconds to wait for the other server
GROUP, LOUNGE = "Demo group", "Demo lounge"
# (person, text). The key of a message holds its index in the list, so add to the ends of the lists only.
DIRECT_TALK = (
    (0, "Hi! Can you see this?"),
    (1, "Yes, and you will see that I have read it."),
    (0, "Close the page, come back later: nothing is lost."),
)
GROUP_TALK = (
    (0, "Welcome to the group. Only who is asked gets in."),
    (1, "Is it lunch time already?"),
    (2, "Привет! В час, как всегда."),
    (0, "See you there 🍜"),
)
LOUNGE_TALK = ((2, "This chat is open: anybody may join under a name of their own."), (0, "Nice and quiet here."))


@dataclass(slots=True)
class Made:
    """How much was made, and how much was there before."""

    people: int = 0
    chats: int = 0
    messages: int = 0
    found: int = 0
    left_alone: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if not (self.people or self.chats or self.messages):
            return "Nothing to do: the demo people, their chats and messages are there."
        return (
            f"Made {self.people} people, {self.chats} chats, {self.messages} messages; {self.found} were there already."
        )


def run(options: argparse.Namespace) -> int:
    async def work(config: Config, dsn: str) -> int:
        made = await seed(config, dsn)
        print(made)
        for what in made.left_alone:
            print(f"Left alone: {what}")
        print("Sign in as test1@test.com, test2@test.com or test3@test.com with the password test.")
        return 0

    if context.read_settings().mode is Mode.PRODUCTION:
        raise Refusal(
            USAGE,
            "MODE=production: everybody knows the password of the demo people.",
            "To make somebody, run: messenger-admin create-user NAME",
        )
    return context.run_with_database(work)


async def seed(config: Config, dsn: str) -> Made:
    made = Made()
    async with _alone(dsn), context.open_database(dsn) as db, context.open_sender(config, dsn) as sender:
        async with context.open_auth(config, db, password_min_length=len(PASSWORD)) as auth:
            three = [await _person(auth, number, made) for number in range(1, HOW_MANY + 1)]
        await _direct(db, sender, three, made)
        await _group(db, sender, three, made)
        await _lounge(db, sender, three, made)
    return made


@asynccontextmanager
async def _alone(dsn: str) -> AsyncIterator[None]:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute(f"select pg_advisory_lock({LOCK})", timeout=PATIENCE)
        yield
    finally:
        connection.terminate()


async def _person(auth: AuthContext, number: int, made: Made) -> Person:
    email = f"test{number}@test.com"
    found = await people.find(auth.db, email)
    if found is not None:
        made.found += 1
        return found
    try:
        registered = await _register(auth, f"test{number}", email)
    except UserAlreadyExists:  # another person has the name; the e-mail is what one signs in with
        registered = await _register(auth, f"{email} (demo)", email)
    made.people += 1
    return Person(registered.user_id, registered.name)


async def _register(auth: AuthContext, name: str, email: str) -> accounts.Registered:
    wanted = Registration(password=PASSWORD, user_name=name, email=email)
    return await accounts.register(auth, wanted, BY_HAND)


async def _direct(db: Database, sender: Sender, three: Sequence[Person], made: Made) -> None:
    opened = await chats.open_direct(db, three[0].identity, three[1].user_id)
    _count(made, opened.is_new)
    last = await _talk(sender, three, opened.chat_id, DIRECT_TALK, made)
    if last is not None:
        await messages.mark_read(sender, three[1].user_id, None, opened.chat_id, last)


async def _group(db: Database, sender: Sender, three: Sequence[Person], made: Made) -> None:
    chat_id = await _find_chat(db, three[0], "group", GROUP)
    _count(made, chat_id is None)
    if chat_id is None:
        others = [one.user_id for one in three[1:]]
        chat_id = (await chats.create_group(db, three[0].identity, GROUP, others, BY_HAND)).chat.chat_id
    await _talk(sender, three, chat_id, GROUP_TALK, made)


async def _lounge(db: Database, sender: Sender, three: Sequence[Person], made: Made) -> None:
    host, guest = three[2], three[0]
    chat_id = await _find_chat(db, host, "chat", LOUNGE)
    _count(made, chat_id is None)
    if chat_id is None:
        chat_id = await chats.create(db, host.identity, LOUNGE, "open", [], BY_HAND)
        await members.join(db, guest.identity, chat_id, guest.name, BY_HAND)
    await _talk(sender, three, chat_id, LOUNGE_TALK, made)


async def _find_chat(db: Database, owner: Person, kind: str, name: str) -> int | None:
    state = await chats.sync(db, owner.identity)
    mine = (view.chat for view in state.chats)
    return min((chat.chat_id for chat in mine if (chat.kind, chat.name) == (kind, name)), default=None)


async def _talk(
    sender: Sender, three: Sequence[Person], chat_id: int, talk: Sequence[tuple[int, str]], made: Made
) -> int | None:
    """Returns the id of the last message that was sent or found."""
    last = None
    for number, (speaker, text) in enumerate(talk, 1):
        outgoing = Outgoing(text, client_id=f"demo-{number}")
        try:
            sent = await messages.send(sender, three[speaker].user_id, None, chat_id, outgoing)
        except (ChatNotFound, IdempotencyConflict) as error:  # the person has left, or the key has another text
            made.left_alone.append(f"message {number} of {three[speaker].name} in chat {chat_id}: {error.detail}")
            continue
        last = int(sent.message_id)
        if sent.replayed:
            made.found += 1
        else:
            made.messages += 1
    return last


def _count(made: Made, is_new: bool) -> None:
    if is_new:
        made.chats += 1
    else:
        made.found += 1
