"""No hit from a chat that the asker may not read, at any moment."""

import random
from contextlib import AsyncExitStack
from urllib.parse import urlencode

from tests.actors import Person
from tests.apps.search.finding import indexed
from tests.apps.talk import says
from tests.sizes import sized

PROBES = sized(2_500)
WORDS = ("pizza", "tea", "елка", "foo.png", "stone", "посылка")


async def test_no_probe_finds_what_was_said_behind_a_closed_door(server, sql) -> None:
    choice = random.Random()
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(Person.registered(server, f"person {n}")) for n in range(6)]
        inside: dict[str, set[str]] = {}
        owners: dict[str, Person] = {}
        for number in range(12):
            owner, *others = choice.sample(people, choice.randint(1, 4))
            chat = await owner.opens_chat(f"chat {number}", others)
            inside[chat], owners[chat] = {one.user_id for one in (owner, *others)}, owner
            for word in WORDS:
                await says(owner, chat, f"{word} {choice.choice(WORDS)}")
        await indexed(sql)
        found, refused = 0, 0
        for number in range(PROBES):
            who, chat = choice.choice(people), choice.choice(list(inside))
            if number % 10 == 0 and who is not owners[chat]:
                if who.user_id in inside[chat]:
                    (await who.leaves(chat)).expecting(204)
                    inside[chat].discard(who.user_id)
                else:
                    (await owners[chat].invites(chat, who)).expecting(201)
                    inside[chat].add(who.user_id)
            asked = {
                "q": choice.choice((*WORDS, "zz", "one", "e")),
                "order": choice.choice(("rank", "recent")),
                "limit": 100,
            }
            asked |= {"chat_id": chat} if choice.random() < 0.3 else {}
            answer = await who.get(f"/v1/search?{urlencode(asked)}")
            if "chat_id" in asked and who.user_id not in inside[chat]:
                refused += 1
                assert (answer.status, answer.code) == (404, "chat-not-found")
                continue
            hits = [hit["message"]["chat_id"] for hit in answer.expecting(200).json["hits"]]
            found += len(hits)
            for place in hits:
                assert who.user_id in inside[place], f"{asked} by {who.name}"
            if asked["q"] == "pizza":  # and what he may read is all there
                mine = {place for place, members in inside.items() if who.user_id in members}
                assert set(hits) == (mine & {chat} if "chat_id" in asked else mine)
        assert found and refused
