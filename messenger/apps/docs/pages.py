"""The two plain pages: what can be refused, and what is switched on. Text in, HTML out.

`top`: the way from the page to where the server begins.
"""

from collections.abc import Iterable
from html import escape

from messenger.errors import MessengerError
from messenger.subapp import Placed

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title} · messenger</title>
<link rel="icon" href="{top}docs/static/favicon-32x32.png">
<link rel="stylesheet" href="{top}docs/static/docs.css">
</head>
<body>
<nav><a href="{top}docs">API</a> <a href="{top}docs/errors">Errors</a> <a href="{top}docs/apps">Sub-apps</a></nav>
<h1>{title}</h1>
<p>{lead}</p>
<table>
<thead>{head}</thead>
<tbody>
{body}
</tbody>
</table>
</body>
</html>
"""


def errors(kinds: Iterable[type[MessengerError]], top: str) -> str:
    rows = [_row((_link(kind.code), str(kind.status), escape(kind.title) + "."), kind.code) for kind in kinds]
    lead = "Every refusal has one of these codes. Programs go by the code; the sentence is for people."
    return _page(top, "Errors", lead, ("Code", "Status", "Sentence"), rows)


def apps(placed: Iterable[Placed], top: str) -> str:
    rows = [
        _row(
            (
                escape(one.app.name),
                escape(one.origin),
                str(len(list(one.app.routes))),
                escape(", ".join(one.app.commands)),
                escape(", ".join(one.app.requires)),
            )
        )
        for one in placed
    ]
    lead = "The sub-apps of this server in the order in which they start; they stop in reverse."
    return _page(top, "Sub-apps", lead, ("Name", "From", "Routes", "Commands", "Requires"), rows)


def _link(code: str) -> str:
    return f'<a href="#{escape(code)}"><code>{escape(code)}</code></a>'


def _row(cells: Iterable[str], anchor: str = "") -> str:
    place = f' id="{escape(anchor)}"' if anchor else ""
    return f"<tr{place}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _page(top: str, title: str, lead: str, head: Iterable[str], rows: Iterable[str]) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    words = {"title": escape(title), "lead": escape(lead)}
    return PAGE.format(top=top, **words, head=f"<tr>{cells}</tr>", body="\n".join(rows))
