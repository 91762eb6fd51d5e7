package edge

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api/data/wire"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/policy/policyjws"
)

// The error codes of Azure Attestation, and the ones it lacks.
const (
	CodeInvalidParameter = "InvalidParameter"
	CodePolicyParsing    = "PolicyParsingError"
	CodePolicyEvaluation = "PolicyEvaluationError"
	CodeInvalidOperation = "InvalidOperation"
	CodeUnauthorized     = "Unauthorized"
	CodeNotFound         = "ResourceNotFound"
	CodeMethod           = "MethodNotAllowed"
	CodeTooLarge         = "RequestTooLarge"
	CodeTooMany          = "TooManyRequests"
	CodeTimeout          = "RequestTimeout"
	CodeInternal         = "InternalError"
	CodeUnavailable      = "ServiceUnavailable"
	CodeForbidden        = "Forbidden"
	CodeMisdirected      = "MisdirectedRequest"
	CodeConflict         = "Conflict"
	CodePrecondition     = "PreconditionFailed"
	CodePending          = "ApprovalRequired"
)

const remedyCollateral = "try again later, or send VCEK and chain with SEV-SNP evidence; " +
	"the operator can import a bundle: probity collateral import"

const remedyMemory = "try again after the time in Retry-After; the operator can raise " +
	"limits.bodiesInFlight in the configuration"

const remedyAltered = "the operator finds the reason in the service's log, and what to do in " +
	"docs/guide/providers.md#the-database-is-not-trusted"

const remedyIntact = "the operator finds the reason in the service's log, and what to do in " +
	"docs/guide/providers.md#the-ledger"

const (
	RemedyContext = "start again: ask for a challenge with {\"type\":\"aikcert\"}, " +
		"and answer it before it expires"
	RemedyEnrolment = "enrol the TPM that holds the key: probity agent enroll; the operator lists " +
		"authorities of endorsement keys under tpm.endorsementAuthorities, or the keys under " +
		"tpm.endorsementKeys"
	RemedyPolicySet = "the owner of the provider sets a policy that says what a good boot is: " +
		"PUT /policies/{type}"
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
		"the vendor's service could be reached for collateral that is not stored; answered with 503, "+
			"as the evidence is not refused permanently",
		remedyCollateral)
	CheckMessage = checks.Define("tpm.message",
		"the member data is a message of the TPM protocol",
		"begin with {\"payload\":{\"type\":\"aikcert\"}} as base64url in data")
	CheckContext = checks.Define("tpm.challenge.context",
		"the service_context is one that this service made for this provider, and has not expired",
		RemedyContext)
	CheckUsed = checks.Define("tpm.challenge.used",
		"a challenge is used once, where the provider asks for that",
		RemedyContext)
	CheckEnrolment = checks.Define("tpm.enrolment",
		"the endorsement key is trusted, the attestation key is of the same TPM, "+
			"and neither name nor key belongs to another TPM",
		RemedyEnrolment)
	CheckPolicySet = checks.Define("policy.set",
		"a policy is set for types that have no default: Tpm and VbsEnclave",
		RemedyPolicySet)
	CheckPolicyJWS = checks.Define("policy.jws",
		"a submitted policy is a well-formed JWS, and its signature, if any, "+
			"verifies with the certificate in its header",
		"let the SDK make the body, or use probity policy sign")
	CheckCaller = checks.Define("caller.known",
		"the caller is known, on routes that need a role",
		"send a token of probity token create, made at this service, or of an issuer that its configuration lists")
	CheckRole = checks.Define("caller.role",
		"the caller has the role that the route needs, at the provider",
		"let an owner grant the role")
	CheckLedger = checks.Define("ledger.recorded",
		"the decision is in the ledger, where the provider fails closed",
		"try again later; see what the service's log says about its store")
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

// Error is an error that clients see.
type Error struct {
	Status  int
	Code    string
	Message string
	Details []Detail
	// Inner is the reason below Azure Key Vault's code, or nil.
	Inner  *Inner
	Header http.Header
	// Cause, if not nil, is logged. It is not for the client.
	Cause error
}

// Inner is the member innererror of Azure Key Vault's errors: its code, and the check that failed.
type Inner struct {
	Code     string `json:"code,omitzero"`
	Check    string `json:"check,omitzero"`
	Expected string `json:"expected,omitzero"`
	Found    string `json:"found,omitzero"`
	Remedy   string `json:"remedy,omitzero"`
}

// Error gives code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Detail explains one failed check. Code and message are there for clients
// that read details as Azure's errors.
type Detail struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	Check    string `json:"check"`
	Expected string `json:"expected,omitzero"`
	Found    string `json:"found,omitzero"`
	Remedy   string `json:"remedy,omitzero"`
	Line     int    `json:"line,omitzero"`
	Column   int    `json:"column,omitzero"`
}

func BadRequest(check *evidence.Definition, expected, found, remedy string) *Error {
	return Failed(http.StatusBadRequest, CodeInvalidParameter, check.FailedWith(expected, found, remedy))
}

func Failed(status int, code string, c evidence.Check) *Error {
	message := c.ID + ": " + c.Found + "; expected " + c.Expected
	return &Error{Status: status, Code: code, Message: message,
		Details: []Detail{{
			Code: c.ID, Message: message, Check: c.ID, Expected: c.Expected, Found: c.Found,
			Remedy: c.Remedy,
		}}}
}

// Unavailable is the answer to what may succeed later, after so many seconds.
func Unavailable(seconds int, c evidence.Check) *Error {
	e := Failed(http.StatusServiceUnavailable, CodeUnavailable, c)
	e.Header = http.Header{"Retry-After": {strconv.Itoa(seconds)}}
	return e
}

// Refused turns a rejection into an error with the code that Azure gives.
func Refused(r *evidence.Rejection) *Error {
	code := CodeInvalidParameter
	if r.Is(appraisal.CheckPolicy) {
		code = CodePolicyEvaluation
	}
	return Failed(http.StatusBadRequest, code, r.Check)
}

func policyError(p *policy.ParseError) *Error {
	e := &Error{Status: http.StatusBadRequest, Code: CodePolicyParsing, Message: p.Error()}
	for _, d := range p.Diagnostics {
		e.Details = append(e.Details,
			Detail{
				Code:     CheckPolicyText.ID,
				Message:  d.String(),
				Check:    CheckPolicyText.ID,
				Expected: d.Expected,
				Found:    d.Found,
				Remedy:   d.Suggestion,
				Line:     d.Pos.Line,
				Column:   d.Pos.Column,
			})
	}
	return e
}

// AsError is what the client may see of an error, for protocols with error documents of their own. Internal says
// that the error itself is for the log.
func AsError(err error) (e *Error, internal bool) { return asAPIError(err) }

// asAPIError maps every error to what the client may see. What is not meant
// for clients becomes a bare internal error; the caller logs it.
func asAPIError(err error) (e *Error, internal bool) {
	var parse *policy.ParseError
	var body *wire.Error
	var refused *provider.Refusal
	switch {
	case errors.As(err, &e):
		return e, e.Cause != nil
	case errors.As(err, &refused):
		return changeRefused(refused), false
	case errors.Is(err, policyjws.ErrFormat):
		return InvalidOperation(err.Error()), false
	case errors.Is(err, ledger.ErrStopped):
		return LedgerStopped(), true
	case errors.Is(err, provider.ErrAltered):
		return Unavailable(30, CheckAltered.FailedWith("a state in the database that this service wrote",
			"a state that was altered; nothing of it is trusted", remedyAltered)), true
	case errors.Is(err, store.ErrUnavailable):
		return Unavailable(5, CheckStore.FailedWith("a store that answers",
			"the store does not answer", "try again after the time in Retry-After")), true
	case errors.As(err, &body):
		return BadRequest(CheckBody, body.Expected, body.Found, body.Remedy), false
	case errors.Is(err, collateral.ErrUnavailable):
		// Not a refusal: the same evidence may pass when the vendor's service is
		// back.
		return Unavailable(15, CheckCollateral.FailedWith("collateral that is current",
			"none, and the vendor's service fails", remedyCollateral)), true // the log tells where it was looked for
	case errors.As(err, &parse):
		return policyError(parse), false
	default:
		return &Error{Status: http.StatusInternalServerError, Code: CodeInternal,
			Message: "the service failed; its log has the reason under this request id"}, true
	}
}

// changeRefused turns a refused change into an error.
func changeRefused(r *provider.Refusal) *Error {
	switch r.Reason {
	case provider.InvalidOperation:
		return Failed(http.StatusBadRequest, CodeInvalidOperation, r.Check)
	case provider.NotFound:
		return Failed(http.StatusNotFound, CodeNotFound, r.Check)
	case provider.Conflict:
		return Failed(http.StatusConflict, CodeConflict, r.Check)
	case provider.Stale:
		return Failed(http.StatusPreconditionFailed, CodePrecondition, r.Check)
	case provider.Forbidden:
		return Failed(http.StatusForbidden, CodeForbidden, r.Check)
	case provider.Pending:
		// Accepted and not done: a client that knows no approvals sees an error.
		return Failed(http.StatusAccepted, CodePending, r.Check)
	case provider.Invalid:
	}
	return Failed(http.StatusBadRequest, CodeInvalidParameter, r.Check)
}

// write sends the error document.
func (e *Error) write(w http.ResponseWriter) {
	for name, values := range e.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.Header().Set("x-ms-error-code", e.Code)
	type document struct {
		Code    string   `json:"code"`
		Message string   `json:"message"`
		Details []Detail `json:"details,omitzero"`
		Inner   *Inner   `json:"innererror,omitzero"`
	}
	body, err := json.Marshal(map[string]document{"error": {e.Code, e.Message, e.Details, e.Inner}})
	if err != nil {
		body = []byte(`{"error":{"code":"InternalError","message":""}}`)
	}
	WriteBody(w, e.Status, body)
}

// WriteBody sends a JSON document.
func WriteBody(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // a client that went away is not an error of the service
}

// WriteJSON sends v.
func WriteJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	WriteBody(w, http.StatusOK, body)
	return nil
}

// InvalidOperation refuses a submission that is not the JWS of a policy.
func InvalidOperation(found string) *Error {
	return Failed(http.StatusBadRequest, CodeInvalidOperation,
		CheckPolicyJWS.FailedWith(`a compact JWS with the payload {"AttestationPolicy": base64url(text)}`,
			found, "let the SDK make the body, or use probity policy sign"))
}

// LedgerStopped is the answer where a ledger's history in the database is not the
// one that was signed.
func LedgerStopped() *Error {
	return Unavailable(300, CheckIntact.FailedWith("the ledger in the database extends its last checkpoint",
		"it does not, and the provider's ledger is stopped", remedyIntact)) // it takes an operator
}
