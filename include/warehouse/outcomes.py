"""Every way a load job or a request about it can end, and what the loader does then. Nothing is concluded from silence.

A **job** that has ended speaks through its `errorResult`; such a job brought no row, and its id is spent. A **request**
that failed says something about the request only: unless BigQuery refused it, the job may exist all the same.
The reasons are BigQuery's own (https://cloud.google.com/bigquery/docs/error-messages), with the names that
google-cloud-bigquery also knows (its retry.py and job/base.py).
"""

import enum
import json
from collections.abc import Mapping
from typing import Any

import requests
from google.api_core import exceptions
from google.auth import exceptions as auth_exceptions


class Reaction(enum.StrEnum):
    """What the loader does."""

    ADOPT = "adopt"
    """The job exists: its own word decides."""
    SAME_ID = "retry same id"
    """The outcome is open: ask for the job, and submit under the same id when it is not there."""
    NEXT_ATTEMPT = "next attempt"
    """The job failed for a reason that passes: the task's retry submits the batch under its next id."""
    BAD_LINES = "bad lines"
    """The job was refused for its data: find the lines, write them down, load the rest under the next id."""
    WAIT = "wait"
    """A quota is used up. Trying again at once would cost more of it; a later run goes on."""
    PAGE = "stop and page"
    """Somebody has to act. The batch stays unfinished."""

    @property
    def is_final(self) -> bool:
        """Whether a retry within the same run is pointless."""
        return self in (Reaction.WAIT, Reaction.PAGE)


#: By `errorResult.reason` of a job that is DONE.
OF_JOB: Mapping[str, Reaction] = {
    "invalid": Reaction.BAD_LINES,
    "quotaExceeded": Reaction.WAIT,
    "backendError": Reaction.NEXT_ATTEMPT,
    "internalError": Reaction.NEXT_ATTEMPT,
    "jobBackendError": Reaction.NEXT_ATTEMPT,
    "jobInternalError": Reaction.NEXT_ATTEMPT,
    "jobRateLimitExceeded": Reaction.NEXT_ATTEMPT,
    "rateLimitExceeded": Reaction.NEXT_ATTEMPT,
    "resourceInUse": Reaction.NEXT_ATTEMPT,
    "resourcesExceeded": Reaction.NEXT_ATTEMPT,
    "stopped": Reaction.NEXT_ATTEMPT,
    "tableUnavailable": Reaction.NEXT_ATTEMPT,
    "timeout": Reaction.NEXT_ATTEMPT,
    "accessDenied": Reaction.PAGE,
    "billingNotEnabled": Reaction.PAGE,
    "billingTierLimitExceeded": Reaction.PAGE,
    "blocked": Reaction.PAGE,
    "duplicate": Reaction.PAGE,
    "invalidQuery": Reaction.PAGE,
    "notFound": Reaction.PAGE,
    "notImplemented": Reaction.PAGE,
    "policyViolation": Reaction.PAGE,
    "responseTooLarge": Reaction.PAGE,
}

#: By the reason of a refused request, whatever its status: 403 alone means four different things.
OF_REASON: Mapping[str, Reaction] = {
    "quotaExceeded": Reaction.WAIT,
    "backendError": Reaction.SAME_ID,
    "badGateway": Reaction.SAME_ID,
    "internalError": Reaction.SAME_ID,
    "jobBackendError": Reaction.SAME_ID,
    "jobInternalError": Reaction.SAME_ID,
    "jobRateLimitExceeded": Reaction.SAME_ID,
    "rateLimitExceeded": Reaction.SAME_ID,
}

#: By the HTTP status of a refused request, where the reason does not decide.
OF_STATUS: Mapping[int, Reaction] = {
    400: Reaction.PAGE,
    401: Reaction.PAGE,
    403: Reaction.PAGE,
    404: Reaction.PAGE,
    408: Reaction.SAME_ID,
    409: Reaction.ADOPT,
    429: Reaction.SAME_ID,
    500: Reaction.SAME_ID,
    502: Reaction.SAME_ID,
    503: Reaction.SAME_ID,
    504: Reaction.SAME_ID,
}


class UploadLost(OSError):
    """The warehouse no longer knows the upload: it took its last byte and the reply got lost, or it forgot the rest."""


#: What leaves the outcome of a request open: no reply, half a reply, or one that nobody can read.
OPEN_ERRORS = (
    UploadLost,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    ConnectionError,
    auth_exceptions.TransportError,
    json.JSONDecodeError,
)

#: All that a request of the loader may raise and `of_request` can judge.
REQUEST_ERRORS = (exceptions.GoogleAPIError, auth_exceptions.GoogleAuthError, *OPEN_ERRORS)


def of_job(error_result: Mapping[str, Any]) -> Reaction:
    """What to do about a job that ended with an error. A reason nobody has met yet is an operator's case."""
    return OF_JOB.get(str(error_result.get("reason")), Reaction.PAGE)


def of_request(error: BaseException) -> Reaction:
    """What to do about a failed request, one of REQUEST_ERRORS."""
    if isinstance(error, exceptions.RetryError):
        return of_request(error.cause) if error.cause is not None else Reaction.SAME_ID
    if isinstance(error, OPEN_ERRORS):
        return Reaction.SAME_ID
    if isinstance(error, exceptions.GoogleAPICallError) and error.code is not None:
        status = int(error.code)
        return OF_REASON.get(_reason(error), OF_STATUS.get(status, Reaction.PAGE))
    return Reaction.PAGE


def _reason(error: exceptions.GoogleAPICallError) -> str:
    for detail in error.errors:
        if isinstance(detail, Mapping):
            return str(detail.get("reason", ""))
    return ""
