"""What the property-based run knows about this service beside its OpenAPI documents.

Schemathesis calls a request that a document allows and the service answers with 400
a failure. Where evidence, a policy or a signature decides, 400 is the right answer to
made-up bytes, and schemathesis.toml allows it. The check below keeps those routes
strict all the same: the reason must be in the content, never in the form, of a request
that the document allows.
"""

import schemathesis

# Checks of the form of a request; docs/guide/checks.md lists them all.
FORM = {
    "caller.known",
    "change.if-match",
    "provider.name",
    "request.api-version",
    "request.attestation-type",
    "request.body",
    "request.path",
    "request.query",
    "request.size",
}

# The provider that the Go test made.
EXISTING = {"subscription": "s", "group": "g", "provider": "contract"}


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Let half of the allowed requests about a provider reach one that exists."""
    parameters = case.path_parameters
    if case.meta is None or not case.meta.generation.mode.is_positive or not parameters or "provider" not in parameters:
        return
    if len(str(parameters["provider"])) % 2:
        parameters.update(EXISTING)


@schemathesis.check
def form_is_accepted(ctx, response, case):
    """A request that the document allows is not refused for its form."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 400:
        return
    error = response.json()["error"]
    reasons = error.get("details", [error.get("innererror", {})])
    checks = [reason["check"] for reason in reasons if "check" in reason]
    refused = FORM.intersection(checks[:1])
    if refused or not checks:
        raise AssertionError(f"the document allows this request, and the service refuses its form: {response.text}")
