package forms

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
)

// nitroHeader begins a document: an array of four, the protected header with ES384,
// and an empty unprotected header.
var nitroHeader = []byte{0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0}

// cborForm names COSE messages: documents of Nitro enclaves, tokens of Arm CCA
// and PSA, endorsements of utility VMs.
func cborForm(b []byte) Form {
	var f Form
	switch {
	case bytes.HasPrefix(b, []byte{0xd9, 0x01, 0x8f, 0xa2}):
		f = Form{Kind: evidence.ArmCCA, Name: "an Arm CCA token"}
	case !bytes.HasPrefix(bytes.TrimPrefix(b, []byte{0xd2}), []byte{0x84}):
		return Form{}
	case bytes.HasPrefix(bytes.TrimPrefix(b, []byte{0xd2}), nitroHeader) ||
		bytes.Contains(b, []byte("module_id")):
		f = Form{Kind: evidence.NitroEnclave, Name: "an AWS Nitro attestation document"}
	case bytes.Contains(b, []byte("did:x509:")):
		f = Form{Name: "an endorsement of a utility VM", Hint: "name it with --uvm beside its SEV-SNP report"}
	case bytes.Contains(b, []byte("psa")) || bytes.Contains(b, []byte("PSA_IOT_PROFILE")):
		f = Form{Kind: evidence.ArmCCA, Name: "a PSA token"}
	default:
		return Form{}
	}
	if err := cbor.Wellformed(b); errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		f.Cut = "ends before its last part"
	}
	var first cbor.RawMessage
	if rest, err := cbor.UnmarshalFirst(b, &first); err == nil {
		f.Behind = len(rest)
	}
	return f
}

// textForm names text: JSON documents, PEM, tokens, and what is often sent by mistake.
func textForm(b []byte) Form {
	text := trim(b)
	switch {
	case len(text) == 0:
		return Form{}
	case text[0] == '{':
		return objectForm(text)
	case bytes.HasPrefix(text, []byte("-----BEGIN ")):
		return pemForm(text)
	case bytes.HasPrefix(text, []byte("eyJ")) && bytes.Count(text, []byte(".")) == 2 &&
		!bytes.ContainsAny(text, " \n{"):
		return Form{Name: "a token (JWT)", Hint: "check a token with probity verify token"}
	case bytes.HasPrefix(text, []byte("version https://git-lfs")):
		return Form{Name: "a pointer of Git LFS, not the file", Hint: "fetch the file: git lfs pull"}
	case bytes.HasPrefix(text, []byte("version=")) || bytes.HasPrefix(text, []byte("version =")):
		return Form{Name: "an attestation policy", Hint: "name it with --policy"}
	case bytes.HasPrefix(text, []byte("<")) &&
		(hasFold(text, "<!doctype html") || hasFold(text, "<html") || hasFold(text, "<?xml")):
		return Form{Name: "a web page or XML document", Hint: "the download failed: fetch the file again"}
	case bytes.HasPrefix(text, []byte("report:")) || bytes.HasPrefix(text, []byte("report {")) ||
		bytes.HasPrefix(text, []byte("header:")) || bytes.HasPrefix(text, []byte("header {")):
		return Form{
			Name: "a report in protocol buffer text, which no longer has the signed bytes",
			Hint: "make it again with -outform bin",
		}
	}
	return Form{}
}

// lossyForm names bytes that a program read as text: it wrote U+FFFD for what is no
// UTF-8. Text that people write, which may have that character too, begins otherwise.
func lossyForm(b []byte) Form {
	if text := trim(b); len(text) == 0 || isText(text[:1]) && strings.IndexByte("{[\"-", text[0]) >= 0 ||
		bytes.Count(b, []byte("\ufffd")) <= 3 || !utf8.Valid(b) {
		return Form{}
	}
	return Form{Name: "bytes that a program read as text, so that some are lost (U+FFFD is in their place)",
		Hint: "copy the file as bytes, or encode it as base64 or hex first"}
}

func hasFold(text []byte, prefix string) bool {
	return len(text) >= len(prefix) && strings.EqualFold(string(text[:len(prefix)]), prefix)
}

func pemForm(text []byte) Form {
	block, _ := pem.Decode(text)
	if block == nil {
		return Form{Name: "PEM text", Cut: "has no END line that fits its BEGIN line"}
	}
	switch {
	case bytes.Contains(text, []byte("PRIVATE KEY-----")):
		return Form{
			Name: "a private key",
			Hint: "a private key is never evidence: keep it secret, and replace it if you sent it",
		}
	case block.Type == "CERTIFICATE":
		f := derForm(block.Bytes)
		if f.Kind != "" {
			return Form{} // decoded, and then named
		}
		if f.Name == "" {
			return Form{Name: "a certificate in PEM that cannot be read", Hint: "copy the whole file again"}
		}
		f.Name += " in PEM"
		return f
	case block.Type == "X509 CRL":
		return Form{
			Name: "a certificate revocation list in PEM",
			Hint: "it is collateral: name it with --collateral",
		}
	case strings.Contains(block.Type, "PUBLIC KEY"):
		return Form{
			Name: "a public key in PEM",
			Hint: "name bound data with --runtime-data, and a platform's key with --root",
		}
	}
	return Form{}
}

// objectForm names JSON objects by their members.
func objectForm(text []byte) Form {
	members, err := object(text)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return Form{Name: "a JSON object", Cut: "ends before its last brace"}
		}
		return Form{}
	}
	for _, named := range objectForms {
		if named.is(members) {
			return named.form
		}
	}
	if !members.has("format") {
		return Form{}
	}
	var probe struct {
		Format string `json:"format"`
	}
	if json.Unmarshal(text, &probe) == nil && strings.HasPrefix(probe.Format, "probity-collateral/") {
		return Form{Name: "a collateral bundle", Hint: "name it with --collateral"}
	}
	return Form{}
}

// objectForms are the forms of JSON objects, and the members by which they are known. The
// first one decides.
var objectForms = []struct {
	is   func(objectMembers) bool
	form Form
}{
	{
		func(o objectMembers) bool { return o.has("SnpReport") },
		Form{Kind: evidence.SEVSNPVM, Name: "a SEV-SNP report as JSON of Azure Attestation's clients"},
	},
	{
		func(o objectMembers) bool {
			return o.has("AttestationProtocolVersion") || o.has("TpmInfo") && o.has("IsolationInfo")
		},
		Form{Kind: evidence.AzureGuest, Name: "attestation info of an Azure guest"},
	},
	{
		objectMembers.isTPMMessage,
		Form{Kind: evidence.TPM, Name: "a message of the TPM attestation protocol"},
	},
	{
		func(o objectMembers) bool { return o.has("keys") },
		Form{Name: "a JSON Web Key Set", Hint: "it goes with probity verify token"},
	},
	{
		func(o objectMembers) bool {
			return o.hasOneOf("tcbInfo", "enclaveIdentity", "tcb_info", "pck_crl", "collaterals")
		},
		Form{Name: "Intel collateral", Hint: "name it with --collateral"},
	},
}

// objectMembers are the members of a JSON object by their folded names.
type objectMembers map[string]jsontext.Value

func (o objectMembers) has(name string) bool {
	_, ok := o[fold(name)]
	return ok
}

func (o objectMembers) hasOneOf(names ...string) bool { return slices.ContainsFunc(names, o.has) }

// isTPMMessage: the attestation itself, the request around it, or the body that carries either.
func (o objectMembers) isTPMMessage() bool {
	if o.hasOneOf("att_type", "current_attestation", "boot_attestation") {
		return true
	}
	if o.has("request") && bytes.Contains(o["request"], []byte(`"eyJ`)) {
		return true
	}
	payload := o["payload"]
	return o.has("payload") && (o.has("request") || bytes.Contains(payload, []byte(`"request"`)) ||
		bytes.Contains(payload, []byte(`"type"`)))
}

// maxMembers is how many members an object with evidence may have.
const maxMembers = 1000

// members reads the members of a JSON object by their names, once each.
func members(text []byte) (map[string]jsontext.Value, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	if t, err := dec.ReadToken(); err != nil {
		return nil, err
	} else if t.Kind() != '{' {
		return nil, errors.New("not an object")
	}
	out := map[string]jsontext.Value{}
	for dec.PeekKind() != '}' {
		t, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		name := t.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		if out[name] = value.Clone(); len(out) > maxMembers {
			return nil, fmt.Errorf("more than %d members", maxMembers)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the object")
	}
	return out, nil
}

// object reads the members of a JSON object by their folded names.
func object(text []byte) (objectMembers, error) {
	raw, err := members(text)
	if err != nil {
		return nil, err
	}
	out := make(objectMembers, len(raw))
	for name, value := range raw {
		out[fold(name)] = value
	}
	return out, nil
}

var unmarked = strings.NewReplacer("_", "", "-", "", " ", "")

// fold makes names of members alike: tdxQuote, tdx_quote and TDX-Quote.
func fold(name string) string { return strings.ToLower(unmarked.Replace(name)) }

// byteOrderMark is what some editors put in front of UTF-8.
var byteOrderMark = []byte("\xef\xbb\xbf")

// trim takes off byte order marks, white space and the NUL of C strings.
func trim(b []byte) []byte {
	return bytes.TrimRight(bytes.TrimLeft(bytes.TrimPrefix(b, byteOrderMark), " \t\r\n"), " \t\r\n\x00")
}
