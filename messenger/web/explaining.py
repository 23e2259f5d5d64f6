"""Every error becomes an answer: a problem in our words, and nothing internal with it."""

import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from messenger.errors import (
    AuthFailed,
    BadParameters,
    Forbidden,
    InternalError,
    MessengerError,
    MethodNotAllowed,
    NotFound,
    TimedOut,
    TooLarge,
    TooManyRequests,
    Unavailable,
    UnsupportedEncoding,
    UriTooLong,
)
from messenger.web import reply
from messenger.web.access import is_stream
from messenger.web.app_keys import CONFIG, REQUEST_ID, root_of
from messenger.web.deadlines import in_time
from messenger.web.recording import template

log = logging.getLogger(__name__)

ERROR = 400

# What aiohttp itself raises, in our words.
MEANINGS: dict[int, type[MessengerError]] = {
    error.status: error
    for error in (
        AuthFailed,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        TimedOut,
        TooLarge,
        UriTooLong,
        UnsupportedEncoding,
        TooManyRequests,
        InternalError,
        Unavailable,
    )
}


@web.middleware
async def explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        if is_stream(request.match_info.handler):
            return await handler(request)
        return await in_time(request, handler)
    except MessengerError as error:
        return _refuse(request, error)
    except web.HTTPException as error:
        if error.status < ERROR:
            raise
        return _refuse(request, _translate(error), error)
    except web.RequestPayloadError:
        return _refuse(request, BadParameters("The request body is not well-formed HTTP."))
    except Exception as error:
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            raise  # the peer left, nobody waits for an answer
        log.exception("failed route=%s request_id=%s", template(request), request[REQUEST_ID])
        return _refuse(request, InternalError())


def _refuse(
    request: web.Request, error: MessengerError, original: web.HTTPException | None = None
) -> web.StreamResponse:
    if request.writer.output_size > 0:
        raise ConnectionError("An answer has begun, there cannot be another one.")
    answer = reply.problem(error, request[REQUEST_ID])
    if error.status == AuthFailed.status:
        auth = root_of(request)[CONFIG].auth
        answer.headers.add("WWW-Authenticate", f'{auth.token_type} realm="messenger"')
        answer.headers.add("WWW-Authenticate", 'Bearer realm="messenger"')
    if isinstance(original, web.HTTPMethodNotAllowed):
        answer.headers["Allow"] = ", ".join(sorted(original.allowed_methods))
    return answer


def _translate(error: web.HTTPException) -> MessengerError:
    if error.status in MEANINGS:
        return MEANINGS[error.status]()
    return BadParameters() if error.status < InternalError.status else InternalError()
