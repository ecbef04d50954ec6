"""asyncio: TASKS tasks, each a chain of coroutines that works a little and gives way: tasks.py TASKS"""

import asyncio

from common import arguments, count, start


def compute(turns):
    total = 0
    for i in range(turns):
        total += i
    return total


async def fetch(turns):
    compute(turns)
    await asyncio.sleep(0)
    return turns


async def step(turns):
    return await fetch(turns)


async def even():
    while True:
        await step(4)
        count[0] += 1


async def odd():
    while True:
        compute(2)
        await fetch(12)
        count[0] += 1


async def main(tasks):
    await asyncio.gather(*[odd() if i % 2 else even() for i in range(tasks)])


start()
asyncio.run(main(int(arguments[0])))
