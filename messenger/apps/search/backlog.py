"""How much is left to do: for whoever watches the server, asked now and then."""

from messenger.apps.search.store import index, tasks
from messenger.db.database import Database
from messenger.web.figures import TASK_STATES, SearchBacklog


async def backlog(db: Database) -> SearchBacklog:
    entries, seconds = await index.find_lag(db.connections)
    tasks_of = await tasks.count_by_status(db.connections)
    return SearchBacklog(entries, seconds, {state: tasks_of.get(state, 0) for state in TASK_STATES})
