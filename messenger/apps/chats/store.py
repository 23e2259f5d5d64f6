"""The statements about chats and members: one function, one statement. Tables of others are only named here."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    DateTime,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    case,
    column,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    table,
    text,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import aliased

from messenger.apps.chats.gate import ChatKind, Role
from messenger.apps.chats.schemas import (
    ChatAndPerson,
    ChatState,
    ChatView,
    Heir,
    Join,
    LastMessage,
    ListPosition,
    Member,
    MemberCount,
    Membership,
    Participant,
    ReadRun,
)
from messenger.apps.chats.tables import Chat, DirectChat, FormerMember, MemberRow
from messenger.db.database import Transaction
from messenger.identity import UserId
from messenger.log.entries import Cursor

USERS = table("users", column("id", BigInteger), column("name", Text), column("deleted_at", DateTime(timezone=True)))
MESSAGES = table(
    "messages",
    column("chat_id", BigInteger),
    column("seq", BigInteger),
    column("id", BigInteger),
    column("sender_id", BigInteger),
    column("text", Text),
    column("sent_at", DateTime(timezone=True)),
    column("deleted_at", DateTime(timezone=True)),
)
LOG_HEAD = table("log_head", column("position", BigInteger), column("epoch", Text))

ME = bindparam("me", type_=BigInteger)
MINE = aliased(MemberRow)
SPEAKER = aliased(MemberRow)
PEER = USERS.alias("peer")
SENDER = USERS.alias("sender")
MEMBER_COUNT = (
    select(func.count()).select_from(MemberRow).where(MemberRow.chat_id == Chat.id).correlate(Chat).scalar_subquery()
)
STATE = (Chat.id, Chat.kind, Chat.name, Chat.join_rule, Chat.creator_id, Chat.created_at, Chat.head_seq, MEMBER_COUNT)
MEMBERSHIP = (Chat.id, Chat.kind, Chat.name, Chat.join_rule, Chat.head_seq, MemberRow.role, MemberRow.name)
# The position of a chat in my list: that of its last message in the log, or of my joining.
POSITION = func.greatest(Chat.head_id, func.coalesce(MINE.since, 0))
# Chats as one person sees them. `me` is null only on a test rig, where everybody may read.
VIEW: Select[*tuple[Any, ...]] = (
    select(
        *STATE,
        MINE.role,
        func.coalesce(MINE.read_seq, 0),
        Chat.read_seq,
        MINE.muted_until,
        PEER.c.id,
        PEER.c.name,
        POSITION,
        MESSAGES.c.id,
        MESSAGES.c.seq,
        MESSAGES.c.sender_id,
        func.coalesce(SPEAKER.name, SENDER.c.name, ""),
        func.coalesce(MESSAGES.c.text, ""),
        MESSAGES.c.sent_at,
        MESSAGES.c.deleted_at.is_not(None),
    )
    .select_from(Chat)
    .outerjoin(MINE, and_(MINE.chat_id == Chat.id, MINE.user_id == ME))
    .outerjoin(DirectChat, DirectChat.chat_id == Chat.id)
    .outerjoin(
        PEER, PEER.c.id == case((DirectChat.low == ME, DirectChat.high), (DirectChat.high == ME, DirectChat.low))
    )
    .outerjoin(MESSAGES, and_(MESSAGES.c.chat_id == Chat.id, MESSAGES.c.seq == Chat.head_seq))
    .outerjoin(SPEAKER, and_(SPEAKER.chat_id == Chat.id, SPEAKER.user_id == MESSAGES.c.sender_id))
    .outerjoin(SENDER, SENDER.c.id == MESSAGES.c.sender_id)
    .where(Chat.deleted_at.is_(None))
)
MY_VIEWS = VIEW.where(MINE.user_id.is_not(None)).order_by(POSITION.desc(), Chat.id.desc())
MEMBERS: Select[*tuple[Any, ...]] = (
    select(
        MemberRow.user_id,
        func.coalesce(MemberRow.name, USERS.c.name, ""),
        MemberRow.role,
        MemberRow.read_seq,
        MESSAGES.c.id,
        MemberRow.joined_at,
    )
    .select_from(MemberRow)
    .outerjoin(USERS, USERS.c.id == MemberRow.user_id)
    .outerjoin(MESSAGES, and_(MESSAGES.c.chat_id == MemberRow.chat_id, MESSAGES.c.seq == MemberRow.read_seq))
)


# --- locks: people first, then chats by id, then members, and the log's head at the very end


async def hold_people(tx: Transaction, ids: Collection[UserId]) -> dict[UserId, str]:
    """The names of those that exist; until the commit none of their accounts can be deleted."""
    statement = (
        select(USERS.c.id, USERS.c.name)
        .where(USERS.c.id == any_(_array(ids)), USERS.c.deleted_at.is_(None))
        .order_by(USERS.c.id)
        .with_for_update(read=True, key_share=True)
    )
    return {UserId(row[0]): row[1] for row in await tx.session.execute(statement)}


async def lock_chat(tx: Transaction, chat_id: int) -> bool:
    """This lock orders all that happens in a chat. False: there is no such chat."""
    statement = select(Chat.id).where(Chat.id == chat_id, Chat.deleted_at.is_(None)).with_for_update(key_share=True)
    return await tx.session.scalar(statement) is not None


async def lock_chats_of(tx: Transaction, user_id: UserId) -> list[int]:
    """Chats that show this person's name: as a member, or as the author of messages there."""
    shown = union_all(
        select(MemberRow.chat_id).where(MemberRow.user_id == user_id),
        select(FormerMember.chat_id).where(FormerMember.user_id == user_id),
    )
    statement = (
        select(Chat.id)
        .where(Chat.deleted_at.is_(None), Chat.id.in_(shown))
        .order_by(Chat.id)
        .with_for_update(key_share=True)
    )
    return list(await tx.session.scalars(statement))


# --- looking


async def find_membership(tx: Transaction, chat_id: int, user_id: UserId | None) -> Membership | None:
    """None: there is no such chat."""
    statement: Select[*tuple[Any, ...]] = (
        select(*MEMBERSHIP)
        .select_from(Chat)
        .outerjoin(MemberRow, and_(MemberRow.chat_id == Chat.id, MemberRow.user_id == literal(user_id, BigInteger)))
        .where(Chat.id == chat_id, Chat.deleted_at.is_(None))
    )
    row = (await tx.session.execute(statement)).one_or_none()
    return None if row is None else Membership(*row)


async def find_direct(tx: Transaction, low: UserId, high: UserId, person: UserId) -> int | None:
    """None: there is none, or that person's account was deleted."""
    statement = (
        select(DirectChat.chat_id)
        .join(USERS, USERS.c.id == person)
        .where(DirectChat.low == low, DirectChat.high == high, USERS.c.deleted_at.is_(None))
    )
    return await tx.session.scalar(statement)


async def find_view(tx: Transaction, chat_id: int, user_id: UserId | None) -> ChatView | None:
    row = (await tx.session.execute(VIEW.where(Chat.id == chat_id), {"me": user_id})).one_or_none()
    return None if row is None else _view(row)


async def find_views(
    tx: Transaction, user_id: UserId, *, start: ListPosition | None = None, limit: int | None = None
) -> list[ChatView]:
    """My chats, latest first."""
    statement = MY_VIEWS.limit(limit)
    if start is not None:
        statement = statement.where(tuple_(POSITION, Chat.id) < tuple_(literal(start.position), literal(start.chat_id)))
    return [_view(row) for row in await tx.session.execute(statement, {"me": user_id})]


async def find_state(tx: Transaction, chat_id: int) -> ChatState | None:
    statement = select(*STATE).where(Chat.id == chat_id, Chat.deleted_at.is_(None))
    row = (await tx.session.execute(statement)).one_or_none()
    return None if row is None else ChatState(*row)


async def find_chats_of(tx: Transaction, user_id: UserId) -> list[int]:
    statement = (
        select(Chat.id)
        .join(MemberRow, MemberRow.chat_id == Chat.id)
        .where(MemberRow.user_id == user_id, Chat.deleted_at.is_(None))
        .order_by(Chat.id)
    )
    return list(await tx.session.scalars(statement))


async def find_chats_and_people(tx: Transaction, pairs: Sequence[tuple[int, int | None]]) -> list[ChatAndPerson]:
    """For each pair of a chat and a person: both as they are now."""
    asked = (
        func.unnest(bindparam("chats", type_=ARRAY(BigInteger)), bindparam("people", type_=ARRAY(BigInteger)))
        .table_valued(column("chat_id", BigInteger), column("person", BigInteger), with_ordinality="n")
        .render_derived()
    )
    # Materialized: a chat of many events is read, and its members are counted, only once.
    known = (
        select(*STATE)
        .where(Chat.id == any_(bindparam("chats", type_=ARRAY(BigInteger))), Chat.deleted_at.is_(None))
        .cte("known")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    statement = (
        select(known, asked.c.person, func.coalesce(MemberRow.name, USERS.c.name, ""), MemberRow.role)
        .select_from(asked)
        .outerjoin(known, known.c.id == asked.c.chat_id)
        .outerjoin(MemberRow, and_(MemberRow.chat_id == known.c.id, MemberRow.user_id == asked.c.person))
        .outerjoin(USERS, USERS.c.id == asked.c.person)
        .order_by(asked.c.n)
    )
    given = {"chats": [chat for chat, _ in pairs], "people": [person for _, person in pairs]}
    return [_chat_and_person(row) for row in await tx.session.execute(statement, given)]


async def find_members(tx: Transaction, chat_id: int, ids: Collection[UserId]) -> list[Member]:
    statement = MEMBERS.where(MemberRow.chat_id == chat_id, MemberRow.user_id == any_(_array(ids))).order_by(
        MemberRow.user_id
    )
    return [Member(*row) for row in await tx.session.execute(statement)]


async def find_members_after(tx: Transaction, chat_id: int, user_id: int, limit: int) -> list[Member]:
    statement = (
        MEMBERS.where(MemberRow.chat_id == chat_id, MemberRow.user_id > user_id)
        .order_by(MemberRow.user_id)
        .limit(limit)
    )
    return [Member(*row) for row in await tx.session.execute(statement)]


async def find_oldest_members(tx: Transaction, chat_id: int, limit: int) -> list[Member]:
    statement = MEMBERS.where(MemberRow.chat_id == chat_id).order_by(MemberRow.since, MemberRow.user_id).limit(limit)
    return [Member(*row) for row in await tx.session.execute(statement)]


async def count_members(tx: Transaction, chat_id: int) -> MemberCount:
    statement = select(func.count(), func.count().filter(MemberRow.role == "owner")).where(MemberRow.chat_id == chat_id)
    return MemberCount(*(await tx.session.execute(statement)).one())


async def count_now(tx: Transaction, chats: Collection[int]) -> dict[int, dict[str, int]]:
    """The numbers that events of these chats carry."""
    statement = select(Chat.id, MEMBER_COUNT, Chat.head_seq).where(Chat.id == any_(_array(chats)))
    rows = await tx.session.execute(statement)
    return {chat_id: {"member_count": members, "head_seq": head_seq} for chat_id, members, head_seq in rows}


async def find_empty(tx: Transaction, chats: Collection[int]) -> list[int]:
    is_empty = ~exists().where(MemberRow.chat_id == Chat.id)
    statement = select(Chat.id).where(Chat.id == any_(_array(chats)), is_empty).order_by(Chat.id)
    return list(await tx.session.scalars(statement))


async def find_head(tx: Transaction) -> Cursor:
    """The end of the log."""
    statement = select(LOG_HEAD.c.epoch, LOG_HEAD.c.position).order_by(LOG_HEAD.c.position.desc()).limit(1)
    return Cursor(*(await tx.session.execute(statement)).one())


# --- changing


async def add_chat(tx: Transaction, kind: ChatKind, name: str, join_rule: Join, creator_id: UserId | None) -> int:
    statement = insert(Chat).values(kind=kind, name=name, join_rule=join_rule, creator_id=creator_id).returning(Chat.id)
    return (await tx.session.execute(statement)).scalar_one()


async def claim_direct(tx: Transaction, low: UserId, high: UserId) -> int | None:
    """The id of the pair's new chat. None: another request was first. Requests at the same time wait for it here."""
    new_id = func.nextval(func.pg_get_serial_sequence("chats", "id"))
    statement = (
        pg_insert(DirectChat)
        .values(low=low, high=high, chat_id=new_id)
        .on_conflict_do_nothing()
        .returning(DirectChat.chat_id)
    )
    return await tx.session.scalar(statement)


async def add_direct(tx: Transaction, chat_id: int, creator_id: UserId) -> None:
    statement = insert(Chat).values(id=chat_id, kind="direct", join_rule="invite", creator_id=creator_id)
    await tx.session.execute(statement)


async def change_chat(tx: Transaction, chat_id: int, changes: dict[str, str]) -> None:
    await tx.session.execute(update(Chat).where(Chat.id == chat_id).values(**changes))


async def add_guest(tx: Transaction, name: str) -> UserId:
    """A person who cannot sign in."""
    statement = insert(USERS).values(name=name).returning(USERS.c.id)
    return UserId((await tx.session.execute(statement)).scalar_one())


async def add_members(
    tx: Transaction, chat_id: int, ids: Sequence[UserId], role: Role, *, read_seq: int = 0, name: str | None = None
) -> int:
    """Returns how many of them are new in the chat."""
    values = {
        "user_id": func.unnest(_array(sorted(ids))),
        "chat_id": literal(chat_id, BigInteger),
        "role": literal(role, Text),
        "read_seq": literal(read_seq, BigInteger),
        "name": literal(name, Text),
    }
    rows = pg_insert(MemberRow).from_select(list(values), select(*values.values()))
    statement = rows.on_conflict_do_nothing().returning(MemberRow.user_id)
    return len((await tx.session.scalars(statement)).all())


async def change_member(tx: Transaction, chat_id: int, user_id: UserId, **columns: str | None) -> None:
    await tx.session.execute(
        update(MemberRow).where(MemberRow.chat_id == chat_id, MemberRow.user_id == user_id).values(**columns)
    )


async def mute(tx: Transaction, chat_id: int, user_id: UserId, until: datetime | None) -> bool:
    """True: it was different before."""
    statement = (
        update(MemberRow)
        .where(
            MemberRow.chat_id == chat_id, MemberRow.user_id == user_id, MemberRow.muted_until.is_distinct_from(until)
        )
        .values(muted_until=until)
        .returning(MemberRow.user_id)
    )
    return await tx.session.scalar(statement) is not None


async def remove_member(tx: Transaction, chat_id: int, user_id: UserId) -> None:
    await tx.session.execute(delete(MemberRow).where(MemberRow.chat_id == chat_id, MemberRow.user_id == user_id))


async def keep_trace(tx: Transaction, chat_id: int, user_id: UserId) -> None:
    """A person who leaves messages behind is still shown in the chat, by a name that may change."""
    spoke = exists().where(MESSAGES.c.chat_id == chat_id, MESSAGES.c.sender_id == user_id)
    trace = select(literal(user_id, BigInteger), literal(chat_id, BigInteger)).where(spoke)
    statement = pg_insert(FormerMember).from_select(["user_id", "chat_id"], trace).on_conflict_do_nothing()
    await tx.session.execute(statement)


async def remove_everywhere(tx: Transaction, user_id: UserId) -> None:
    await tx.session.execute(delete(MemberRow).where(MemberRow.user_id == user_id))


async def drop_traces(tx: Transaction, user_id: UserId) -> None:
    """The name of this person will not change any more."""
    await tx.session.execute(delete(FormerMember).where(FormerMember.user_id == user_id))


NAME_HEIRS = text("""
    update members h set role = 'owner'
      from (select distinct on (o.chat_id) o.chat_id, o.user_id, o.role
              from members mine
              join members o on o.chat_id = mine.chat_id and o.user_id <> mine.user_id
             where mine.user_id = :user and mine.chat_id = any(:chats) and mine.role = 'owner'
               and not exists (select 1 from members w where w.chat_id = mine.chat_id and w.role = 'owner'
                                                         and w.user_id <> mine.user_id)
             order by o.chat_id, o.role <> 'admin', o.since, o.joined_at, o.user_id) x
     where h.chat_id = x.chat_id and h.user_id = x.user_id
    returning h.chat_id, h.user_id, x.role
""").bindparams(bindparam("chats", type_=ARRAY(BigInteger)))


async def name_heirs(tx: Transaction, user_id: UserId, chats: Sequence[int]) -> list[Heir]:
    """In chats where this person is the only owner, the oldest admin or else the oldest member becomes the owner."""
    return [Heir(*row) for row in await tx.session.execute(NAME_HEIRS, {"user": user_id, "chats": list(chats)})]


# The message is looked up in the select list: a join without rows could skip the function.
REFLOOR = text("""
    select x.chat, r.was + 1, r.now, (select g.id from messages g where g.chat_id = x.chat and g.seq = r.now)
      from unnest(:chats) as x(chat)
     cross join lateral log_refloor(x.chat) r
     where r.now is not null
""").bindparams(bindparam("chats", type_=ARRAY(BigInteger)))


async def refloor(tx: Transaction, chats: Sequence[int]) -> list[ReadRun]:
    """The members of these chats have changed. Returns the messages that thereby became read by all."""
    return [ReadRun(*row) for row in await tx.session.execute(REFLOOR, {"chats": list(chats)})]


def _array(ids: Collection[int]) -> BindParameter[Any]:
    """One parameter for any number of ids."""
    return literal(list(ids), ARRAY(BigInteger))


def _view(row: Any) -> ChatView:
    chat, rest = ChatState(*row[: len(STATE)]), row[len(STATE) :]
    role, read_seq, read_by_all_seq, muted_until, peer_id, peer_name, position, *last = rest
    message = LastMessage(*last) if last[0] is not None else None
    return ChatView(chat, role, read_seq, read_by_all_seq, muted_until, peer_id, peer_name, message, position)


def _chat_and_person(row: Any) -> ChatAndPerson:
    user_id, name, role = row[len(STATE) :]
    chat = ChatState(*row[: len(STATE)]) if row[0] is not None else None
    return ChatAndPerson(chat, Participant(user_id, name, role) if user_id is not None else None)
