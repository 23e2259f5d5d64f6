"""Who is in the pictures, and what they say. The same each time: names, words, order, and times if asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import asyncpg

from proof.lab.crowd import Actor, Client, Place, clients, sign_up

NAMES = ("Anna Weber", "Bob", "Mika Laine", "Ольга Белова", "Kenji", "Иван")
NOW = datetime(2026, 6, 12, 14, 5, tzinfo=UTC)

# (who, words, the line that it answers, who reacts how)
Line = tuple[int, str, int | None, dict[str, Sequence[int]]]
HOUSE: Sequence[Line] = (
    (2, "Good morning! Who is coming to the summer house on Saturday?", None, {}),
    (0, "Me, and I bring the kids. They have been asking for weeks.", None, {"🎉": (1, 2)}),
    (3, "Я тоже приеду, но только к обеду: поезд в десять.", None, {}),
    (1, "I can fetch you from the station, there is room for two in my car.", 2, {"👍": (0, 3)}),
    (3, "Спасибо, это очень кстати!", 3, {}),
    (4, "What shall I bring? Last time we had five salads and no bread 🙂", None, {"😂": (0, 1, 2, 3)}),
    (2, "Bread then, please. And the map is here: https://example.org/way-to-the-lake", 5, {}),
    (0, "I have the key, so do not hurry. The boat is mended as well.", None, {"❤️": (2,)}),
    (1, "@Anna Weber could you check whether the stove works?", None, {}),
    (0, "It does, I was there on Tuesday. We only need wood.", 8, {}),
    (2, "Wood is ordered.", None, {"👍": (0,)}),
    (4, "Then see you on Saturday!", None, {}),
)
DIRECT: Sequence[Line] = (
    (1, "Did you get the tickets?", None, {}),
    (0, "Yes, two in row seven. Not the cheapest, but one sees everything.", None, {}),
    (1, "Wonderful. What do I owe you?", None, {}),
    (0, "A coffee, a long one.", None, {"☕": (1,)}),
)
LATER: Sequence[Line] = (
    (1, "Deal. Tomorrow at ten?", None, {}),
    (1, "I found a place that roasts its own beans.", None, {}),
)
OTHERS: Sequence[tuple[int, str, str]] = (
    (3, "", "Документы я отправила, посмотри, когда будет время."),
    (4, "", "The new build is green."),
    (5, "", "Спокойной ночи!"),
)


@dataclass(frozen=True, slots=True)
class Scene:
    people: Sequence[Actor]
    house: str  # a group
    direct: str  # with two messages that are not read

    @property
    def me(self) -> Actor:
        return self.people[0]


async def build(place: Place, suffix: str = "") -> Scene:
    people = await sign_up(place, [name + suffix for name in NAMES])
    async with clients(*people) as devices:
        me = devices[0]
        for number, _, words in reversed(OTHERS):
            await devices[number].says(place, await _direct(place, devices[number], people[0]), words)
        group = {"name": "Summer house", "participant_user_ids": [one.user_id for one in people[1:5]]}
        house = str((await me.post(place, "/v1/groups", group))["chat_id"])
        await _play(place, devices, house, HOUSE)
        direct = await _direct(place, me, people[1])
        await _play(place, devices, direct, DIRECT)
        for device, chat in ((me, house), (devices[1], house), (devices[2], house), (me, direct), (devices[1], direct)):
            newest = (await me.get(place, f"/v1/chats/{chat}"))["last_message"]["message_id"]
            await device.post(place, f"/v1/chats/{chat}/read", {"message_id": newest})
        await _play(place, devices, direct, LATER)
    return Scene(people, house, direct)


async def _direct(place: Place, device: Client, other: Actor) -> str:
    return str((await device.post(place, f"/v1/users/{other.user_id}/chat"))["chat_id"])


async def _play(place: Place, devices: Sequence[Client], chat: str, lines: Sequence[Line]) -> None:
    said: list[str] = []
    for who, words, answered, reactions in lines:
        reply = {} if answered is None else {"reply_to": said[answered]}
        said.append((await devices[who].says(place, chat, words, **reply))["message_id"])
        for emoji, fans in reactions.items():
            for fan in fans:
                path = f"/v1/chats/{chat}/messages/{said[-1]}/reactions/{quote(emoji)}"
                await devices[fan].asks(place, "PUT", path)


async def set_times(dsn: str) -> None:
    """Each message three minutes before the next one, the last of all at NOW. Before the server starts anew."""
    connection = await asyncpg.connect(dsn)
    try:
        ids = [row["id"] for row in await connection.fetch("select id from messages order by id desc")]
        for number, message_id in enumerate(ids):
            when = NOW - timedelta(minutes=3 * number)
            await connection.execute("update messages set sent_at = $2 where id = $1", message_id, when)
    finally:
        await connection.close()
