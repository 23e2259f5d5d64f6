"""Questions that come while another statement is under way share the next one."""

import asyncio

from messenger.db.together import Together


async def test_who_comes_first_waits_for_nobody_and_who_comes_meanwhile_shares_the_next_statement() -> None:
    asked: list[list[int]] = []
    goes_on = asyncio.Event()

    async def doubled(numbers: list[int]) -> list[int]:
        asked.append(numbers)
        await goes_on.wait()
        return [2 * number for number in numbers]

    together = Together(doubled, most=3)
    tasks = [asyncio.create_task(together.answer(1))]
    while not asked:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(together.answer(number)) for number in range(2, 7)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    goes_on.set()

    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)

    assert asked == [[1], [2, 3, 4], [5, 6]]
    assert isinstance(answers.pop(2), asyncio.CancelledError)
    assert answers == [2, 4, 8, 10, 12]
    await together.stop()
    assert await together.answer(7) == 14, "it begins anew whenever somebody asks"


async def test_a_failure_is_told_to_those_who_were_asked_for_and_to_nobody_else() -> None:
    async def read(names: list[str]) -> list[str]:
        if "bad" in names:
            raise OSError
        return names

    together = Together(read, most=2)
    answers = await asyncio.gather(*map(together.answer, ("a", "bad", "b", "c")), return_exceptions=True)

    assert [type(one) for one in answers] == [OSError, OSError, str, str]
