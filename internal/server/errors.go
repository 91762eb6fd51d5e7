package server

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/server/wire"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/policy/policyjws"
)

// The error codes of Azure Attestation, and the ones it lacks.
const (
	codeInvalidParameter = "InvalidParameter"
	codePolicyParsing    = "PolicyParsingError"
	codePolicyEvaluation = "PolicyEvaluationError"
	codeInvalidOperation = "InvalidOperation"
	codeUnauthorized     = "Unauthorized"
	codeNotFound         = "ResourceNotFound"
	codeMethod           = "MethodNotAllowed"
	codeTooLarge         = "RequestTooLarge"
	codeTooMany          = "TooManyRequests"
	codeTimeout          = "RequestTimeout"
	codeInternal         = "InternalError"
	codeUnavailable      = "ServiceUnavailable"
	codeForbidden        = "Forbidden"
	codeMisdirected      = "MisdirectedRequest"
	codeConflict         = "Conflict"
	codePrecondition     = "PreconditionFailed"
	codePending          = "ApprovalRequired"
)

const remedyCollateral = "try again later, or send VCEK and chain with SEV-SNP evidence; the operator can import a bundle: probity collateral import"

const remedyMemory = "try again after the time in Retry-After; the operator can raise limits.bodiesInFlight in the configuration"

const remedyAltered = "the operator finds the reason in the service's log, and what to do in docs/guide/providers.md#the-database-is-not-trusted"

const remedyIntact = "the operator finds the reason in the service's log, and what to do in docs/guide/providers.md#the-ledger"

const (
	remedyContext   = "start again: ask for a challenge with {\"type\":\"aikcert\"}, and answer it before it expires"
	remedyEnrolment = "enrol the TPM that holds the key: probity agent enroll; the operator lists authorities of endorsement keys under tpm.endorsementAuthorities, or the keys under tpm.endorsementKeys"
	remedyPolicySet = "the owner of the provider sets a policy that says what a good boot is: PUT /policies/{type}"
)

// The checks of this package, in the order in which they are made.
var (
	checks evidence.Checks

	CheckAltered = checks.Define("provider.state",
		"the provider's settings, policies and enrolled keys in the database are as this service wrote them",
		remedyAltered)
	CheckOrigin = checks.Define("request.origin",
		"a request of a caller that changes something does not come from a page of another site",
		"send changes from a program, or from a page of the service's own address")
	CheckPath = checks.Define("request.path",
		"the path is one that the service answers, and the names in it have the documented form",
		"compare the path with the list of routes in the documentation")
	CheckAPIVersion = checks.Define("request.api-version",
		"the query parameter api-version is one that the service speaks",
		"add the query parameter api-version, for instance ?api-version=2022-08-01")
	CheckType = checks.Define("request.attestation-type",
		"the attestation type in the path is one that the service understands",
		"compare the type with those that the message lists")
	CheckSize = checks.Define("request.size",
		"the request body is within the limit",
		"send less, or raise limits.body in the configuration")
	CheckMemory = checks.Define("request.memory",
		"the bodies of all requests that are being read have a place in memory",
		remedyMemory)
	CheckBody = checks.Define("request.body",
		"the request body is a JSON object of the expected form, without duplicate members",
		"compare the body with the documentation of the route")
	CheckCollateral = checks.Define("collateral.available",
		"the vendor's service could be reached for collateral that is not held; answered with 503, as the evidence is not refused for good",
		remedyCollateral)
	CheckMessage = checks.Define("tpm.message",
		"the member data is a message of the TPM protocol",
		"begin with {\"payload\":{\"type\":\"aikcert\"}} as base64url in data")
	CheckContext = checks.Define("tpm.challenge.context",
		"the service_context is one that this service made for this provider, and has not expired",
		remedyContext)
	CheckUsed = checks.Define("tpm.challenge.used",
		"a challenge is used once, where the provider asks for that",
		remedyContext)
	CheckEnrolment = checks.Define("tpm.enrolment",
		"the endorsement key is trusted, the attestation key is of the same TPM, and neither name nor key belongs to another TPM",
		remedyEnrolment)
	CheckPolicySet = checks.Define("policy.set",
		"a policy is set for types that have no default: Tpm and VbsEnclave",
		remedyPolicySet)
	CheckPolicyJWS = checks.Define("policy.jws",
		"a submitted policy is a well-formed JWS, and its signature, if any, verifies with the certificate in its header",
		"let the SDK make the body, or use probity policy sign")
	CheckCaller = checks.Define("caller.known",
		"the caller is known, on routes that are not for anybody",
		"send a bearer token of an issuer that counts, or of probity token create")
	CheckRole = checks.Define("caller.role",
		"the caller has the role that the route needs, at the provider",
		"let an owner grant the role")
	CheckLedger = checks.Define("ledger.recorded",
		"the decision is in the ledger, where the provider fails closed",
		"try again later; see what the service's log says of its store")
	CheckIntact = checks.Define("ledger.intact",
		"the provider's ledger in the database extends its last checkpoint, which is kept outside the database",
		remedyIntact)
	CheckQuery = checks.Define("request.query",
		"each query parameter is sent once, in the documented form and within its bounds",
		"correct the query parameter")
	CheckProof = checks.Define("ledger.proof",
		"the entry is there, and a checkpoint covers it",
		"try again after the next checkpoint")
	CheckStore = checks.Define("store.available",
		"the store answers; attestations go on without it, management does not",
		"try again after the time in Retry-After")
	CheckPolicyText = checks.Define("policy.syntax",
		"the policy, or draft policy, parses",
		"check the policy text at the line and column given")
)

// Catalogue lists the checks of requests.
func Catalogue() []*evidence.Definition { return checks.All() }

// apiError is an error that clients see.
type apiError struct {
	status  int
	code    string
	message string
	details []detail
	header  http.Header
}

// Error gives code and message.
func (e *apiError) Error() string { return e.code + ": " + e.message }

// detail explains one failed check. Code and message are there for clients
// that read details as Azure's errors.
type detail struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	Check    string `json:"check"`
	Expected string `json:"expected,omitzero"`
	Found    string `json:"found,omitzero"`
	Remedy   string `json:"remedy,omitzero"`
	Line     int    `json:"line,omitzero"`
	Column   int    `json:"column,omitzero"`
}

func badRequest(check *evidence.Definition, expected, found, remedy string) *apiError {
	return failed(http.StatusBadRequest, codeInvalidParameter, check.FailedWith(expected, found, remedy))
}

func failed(status int, code string, c evidence.Check) *apiError {
	message := c.ID + ": " + c.Found + "; expected " + c.Expected
	return &apiError{status: status, code: code, message: message,
		details: []detail{{Code: c.ID, Message: message, Check: c.ID, Expected: c.Expected, Found: c.Found, Remedy: c.Remedy}}}
}

// refusal turns a rejection into an error with the code that Azure gives.
func refusal(r *evidence.Rejection) *apiError {
	code := codeInvalidParameter
	if r.Is(appraisal.CheckPolicy) {
		code = codePolicyEvaluation
	}
	return failed(http.StatusBadRequest, code, r.Check)
}

func policyError(p *policy.ParseError) *apiError {
	e := &apiError{status: http.StatusBadRequest, code: codePolicyParsing, message: p.Error()}
	for _, d := range p.Diagnostics {
		e.details = append(e.details, detail{Code: CheckPolicyText.ID, Message: d.String(), Check: CheckPolicyText.ID, Expected: d.Expected,
			Found: d.Found, Remedy: d.Suggestion, Line: d.Pos.Line, Column: d.Pos.Column})
	}
	return e
}

// asAPIError maps every error to what the client may see. What is not meant
// for clients becomes a bare internal error; the caller logs it.
func asAPIError(err error) (e *apiError, internal bool) {
	var parse *policy.ParseError
	var body *wire.Error
	var refused *provider.Refusal
	switch {
	case errors.As(err, &e):
		return e, false
	case errors.As(err, &refused):
		return changeRefused(refused), false
	case errors.Is(err, policyjws.ErrFormat):
		return invalidOperation(err.Error()), false
	case errors.Is(err, ledger.ErrStopped):
		return ledgerStopped(), true
	case errors.Is(err, provider.ErrAltered):
		e := failed(http.StatusServiceUnavailable, codeUnavailable, CheckAltered.FailedWith("a state in the database that this service wrote",
			"a state that was altered; nothing of it is trusted", remedyAltered))
		e.header = http.Header{"Retry-After": {"30"}}
		return e, true
	case errors.Is(err, store.ErrUnavailable):
		e := failed(http.StatusServiceUnavailable, codeUnavailable, CheckStore.FailedWith("a store that answers",
			"the store does not answer", "try again after the time in Retry-After"))
		e.header = http.Header{"Retry-After": {"5"}}
		return e, true
	case errors.As(err, &body):
		return badRequest(CheckBody, body.Expected, body.Found, body.Remedy), false
	case errors.Is(err, collateral.ErrUnavailable):
		// Not a refusal: the same evidence may pass when the vendor's service is
		// back.
		e := failed(http.StatusServiceUnavailable, codeUnavailable, CheckCollateral.FailedWith("collateral that is current",
			"none, and the vendor's service fails", remedyCollateral))
		e.header = http.Header{"Retry-After": {"15"}}
		return e, true // the log tells where it was looked for
	case errors.As(err, &parse):
		return policyError(parse), false
	default:
		return &apiError{status: http.StatusInternalServerError, code: codeInternal,
			message: "the service failed; its log has the reason under this request id"}, true
	}
}

// changeRefused turns a refused change into an error.
func changeRefused(r *provider.Refusal) *apiError {
	switch r.Reason {
	case provider.InvalidOperation:
		return failed(http.StatusBadRequest, codeInvalidOperation, r.Check)
	case provider.NotFound:
		return failed(http.StatusNotFound, codeNotFound, r.Check)
	case provider.Conflict:
		return failed(http.StatusConflict, codeConflict, r.Check)
	case provider.Stale:
		return failed(http.StatusPreconditionFailed, codePrecondition, r.Check)
	case provider.Forbidden:
		return failed(http.StatusForbidden, codeForbidden, r.Check)
	case provider.Pending:
		// Accepted and not done: a client that knows no approvals sees an error.
		return failed(http.StatusAccepted, codePending, r.Check)
	}
	return failed(http.StatusBadRequest, codeInvalidParameter, r.Check)
}

// write sends the error document.
func (e *apiError) write(w http.ResponseWriter) {
	for name, values := range e.header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.Header().Set("x-ms-error-code", e.code)
	type document struct {
		Code    string   `json:"code"`
		Message string   `json:"message"`
		Details []detail `json:"details,omitzero"`
	}
	body, err := json.Marshal(map[string]document{"error": {e.code, e.message, e.details}})
	if err != nil {
		body = []byte(`{"error":{"code":"InternalError","message":""}}`)
	}
	writeBody(w, e.status, body)
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // a client that went away is no error of ours
}

// writeJSON sends v.
func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	writeBody(w, http.StatusOK, body)
	return nil
}
