// Package plainerror words the errors of libraries for people. Libraries speak of Go
// types, of "invalid character" and "asn1: structure error", which mean nothing to
// those who wrote the file. It is a leaf: it imports nothing of ours.
//
// Errors pass through [Text], or their text through [Words], where they leave the
// program: the end of a command, a failed check, the error document of the service.
package plainerror

import "regexp"

// phrases are what libraries say, in the order in which they are replaced. Longer
// phrases stand before the shorter ones that they contain.
var phrases = []struct {
	find    *regexp.Regexp
	replace string
}{
	// github.com/fxamacker/cbor.
	{re(`cbor: (\d+) bytes of extraneous data starting at index \d+`), "$1 bytes behind the end of the CBOR"},
	{re(`cbor: cannot unmarshal ([\w -]+?) into Go (?:struct field |value of type )?(?:struct \{.*\}|[^\s:]+)(?:\.\w+)?(?: of type [^\s:]+)?(?: \([^)]*\))?`), "CBOR: a $1 of the wrong type"},
	{re(`(^|[\s(:])cbor: `), "${1}CBOR: "},
	// github.com/go-json-experiment/json, and encoding/json.
	{re(`(?:json: )?cannot unmarshal JSON (\w+)(?: \S+)? into Go (?:struct \{.*\}|\S+?) within "([^"]*)"(?: after offset \d+)?`), "a JSON $1 of the wrong type at $2"},
	{re(`(?:json: )?cannot unmarshal (?:JSON )?(\w+)(?: \S+)? into Go (?:struct field )?(?:struct \{.*\}|[^\s:]+)(?:\.\w+)?(?: of type [^\s:]+)?`), "a JSON $1 of the wrong type"},
	{re(`(?:json: )?cannot unmarshal(?: from)?(?: JSON)?(?: \w+)?(?: into)? (?:Go )?(?:struct \{.*\}|[^\s:]+)`), "JSON of the wrong type"},
	{re(`(?:json: )?unable to unmarshal(?: JSON)?[^:]*`), "JSON of the wrong type"},
	{re(`jsontext: `), ""},
	{re(`invalid character ('(?:\\.|[^'])+'|"[^"]*") `), "unexpected character $1 "},
	{re(`invalid character `), "unexpected character "},
	{re(`unexpected end of JSON input`), "the JSON ends early"},
	{re(`(?:json: )?unknown object member name "([^"]*)"`), `unknown member "$1"`},
	{re(`duplicate object member name "([^"]*)"`), `duplicate member "$1"`},
	{re(`(?:json: )?unknown object member name`), "unknown member"},
	{re(`duplicate object member name`), "duplicate member"},
	{re(`object member name must be a string`), "the name of a member is not in quotes"},
	{re(`(^|[\s(:])json: `), "${1}JSON: "},
	// encoding/base64 and encoding/hex.
	{re(`illegal base64 data at input byte (\d+)`), "not base64 (byte $1)"},
	{re(`encoding/hex: invalid byte: U\+[0-9A-F]+ ('(?:\\.|[^'])+')`), "not hex (character $1)"},
	{re(`encoding/hex: invalid byte: U\+([0-9A-F]+)`), "not hex (character U+$1)"},
	{re(`encoding/hex: odd length hex string`), "hex with an odd number of digits"},
	{re(`encoding/hex: `), ""},
	// encoding/asn1 and crypto/x509.
	{re(`(?:x509: )?(?:failed to parse [^:]+: )?asn1: (?:structure|syntax) error(?:: [^;)]*)?`), "DER that does not decode"},
	{re(`asn1: `), "DER: "},
	{re(`x509: (?:malformed|invalid) ([a-zA-Z0-9 ]+)`), "DER with a malformed $1"},
	{re(`x509: certificate signed by unknown authority(?: \(possibly because of [^)]*\))*`), "the certificate leads to no trusted authority"},
	{re(`x509: certificate has expired or is not yet valid: `), "the certificate is not valid at this time: "},
	{re(`x509: ECDSA verification failure|crypto/(?:rsa|ecdsa): verification error|x509: RSA verification failure`), "signature verification failed"},
	{re(`x509: `), ""},
	{re(`crypto/\w+: `), ""},
	// strconv, time and net/url.
	{re(`strconv\.\w+: parsing ("(?:\\.|[^"])*"): value out of range`), "$1 is too large or too small a number"},
	{re(`strconv\.\w+: parsing ("(?:\\.|[^"])*"): [a-z ]+`), "$1 is not a number"},
	{re(`strconv\.\w+: `), ""},
	{re(`parsing time ("?(?:\\.|[^" ])*"?)(?: as "[^"]*")?: (?:cannot parse [^;)]*|[a-z ]+ out of range|extra text[^;)]*)`), "$1 is not a time such as 2026-03-01T12:00:00Z"},
	{re(`time: (?:invalid duration|unknown unit "[^"]*" in duration|missing unit in duration) ("[^"]*")`), "$1 is not a duration such as 90m or 24h"},
	{re(`parse ("(?:\\.|[^"])*"): (?:net/url: )?[^;)]*`), "$1 is not a URL"},
	// io and os.
	{re(`unexpected EOF`), "it ends early"},
	{re(`\bEOF\b`), "it ends early"},
	{re(`\b(?:open|stat|lstat|read|readdirent|mkdir|write|unlinkat|remove|rename|chmod) ([^:\n]+): no such file or directory`), "$1: no such file or directory"},
	{re(`\b(?:open|stat|lstat|read|readdirent|mkdir|write|unlinkat|remove|rename|chmod) ([^:\n]+): (permission denied|is a directory|not a directory|file exists|file name too long|read-only file system|too many levels of symbolic links)`), "$1: $2"},
	// Others.
	{re(`go-jose/go-jose(?:/\w+)?: (?:error in cryptographic primitive)?`), "signature verification failed "},
	{re(`reflect\.\w+|\*?\b(?:map\[string\])?interface ?\{\}`), "a value"},
}

func re(text string) *regexp.Regexp { return regexp.MustCompile(text) }

// Text returns the message of an error in plain words.
func Text(err error) string {
	if err == nil {
		return ""
	}
	return Words(err.Error())
}

// Words returns a message in which the phrases of libraries are replaced.
func Words(message string) string {
	for _, p := range phrases {
		message = p.find.ReplaceAllString(message, p.replace)
	}
	return message
}
