// Package plainerror words the errors of libraries for people. Libraries speak of Go
// types, of "invalid character" and "asn1: structure error", which mean nothing to
// those who wrote the file. It is a leaf: it imports no other package of this module.
//
// Errors pass through [Text], or their text through [Words], where they leave the
// program: the end of a command, a failed check, the error document of the service.
package plainerror

import "regexp"

// phrases are what libraries say, in the order in which they are replaced. Longer
// phrases are before the shorter ones that they contain.
var phrases = []struct {
	find    *regexp.Regexp
	replace string
}{
	// github.com/fxamacker/cbor.
	{re(`cbor: (\d+) bytes of extraneous data starting at index \d+`), "$1 bytes after the end of the CBOR"},
	{re(`cbor: (?:cannot|unable to) unmarshal ([\w -]+?) into Go (?:struct field |value of type ` +
		`)?(?:struct \{.*\}|[^\s:]+)(?:\.\w+)?(?: of type [^\s:]+)?(?: \([^)]*\))?`),
		"CBOR: a $1 of the wrong type"},
	{re(`(^|[\s(:])cbor: `), "${1}CBOR: "},
	// github.com/go-json-experiment/json, and encoding/json.
	{re(`(?:json: )?(?:cannot|unable to) unmarshal JSON (\w+)(?: \S+)? into Go (?:struct \{.*\}|\S+?) ` +
		`within "([^"]*)"(?: after offset \d+)?`), "a JSON $1 of the wrong type at $2"},
	{re(`(?:json: )?(?:cannot|unable to) unmarshal (?:JSON )?(\w+)(?: \S+)? into Go (?:struct field ` +
		`)?(?:struct \{.*\}|[^\s:]+)(?:\.\w+)?(?: of type [^\s:]+)?`), "a JSON $1 of the wrong type"},
	{re(`(?:json: )?(?:cannot|unable to) unmarshal(?: from)?(?: JSON)?(?: \w+)?(?: ` +
		`into)? (?:Go )?(?:struct \{.*\}|[^\s:]+)`), "JSON of the wrong type"},
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
	{
		re(`(?:x509: )?(?:failed to parse [^:]+: )?asn1: (?:structure|syntax) error(?:: [^;)]*)?`),
		"DER that does not decode",
	},
	{re(`asn1: `), "DER: "},
	{re(`x509: (?:malformed|invalid) ([a-zA-Z0-9 ]+)`), "DER with a malformed $1"},
	{
		re(`x509: certificate signed by unknown authority(?: \(possibly because of [^)]*\))*`),
		"the certificate leads to no trusted authority",
	},
	{re(`x509: certificate has expired or is not yet valid: `), "the certificate is not valid at this time: "},
	{
		re(`x509: ECDSA verification failure|crypto/(?:rsa|ecdsa): verification error|x509: ` +
			`RSA verification failure`),
		"signature verification failed",
	},
	{re(`x509: `), ""},
	{re(`crypto/\w+: `), ""},
	// strconv, time and net/url.
	{re(`strconv\.\w+: parsing ("(?:\\.|[^"])*"): value out of range`), "$1 is too large or too small a number"},
	{re(`strconv\.\w+: parsing ("(?:\\.|[^"])*"): [a-z ]+`), "$1 is not a number"},
	{re(`strconv\.\w+: `), ""},
	{
		re(`parsing time ("?(?:\\.|[^" ])*"?)(?: as "[^"]*")?: (?:cannot parse [^;)]*|[a-z ]+ out of ` +
			`range|extra text[^;)]*)`),
		"$1 is not a time such as 2026-03-01T12:00:00Z",
	},
	{
		re(`time: (?:invalid duration|unknown unit "[^"]*" in duration|missing unit in duration) ("[^"]*")`),
		"$1 is not a duration such as 90m or 24h",
	},
	{re(`parse ("(?:\\.|[^"])*"): (?:net/url: )?[^;)]*`), "$1 is not a URL"},
	// io and os.
	{re(`unexpected EOF`), "it ends early"},
	{re(`\bEOF\b`), "it ends early"},
	{re(`\b(?:open|stat|lstat|read|readdirent|mkdir|write|unlinkat|remove|rename|chmod) ([^:\n]+): ` +
		`no such file or directory`), "$1: no such file or directory"},
	{
		re(
			`\b(?:open|stat|lstat|read|readdirent|mkdir|write|unlinkat|remove|rename|chmod) ([^:\n]+): ` +
				`(permission denied|is a directory|not a directory|file exists|file name too ` +
				`long|read-only file system|too many levels of symbolic links)`,
		),
		"$1: $2",
	},
	// net, net/http and crypto/tls.
	{
		re(`dial (?:tcp|udp)[46]?: lookup ([^\s:]+)(?: on [^:]+(?::\d+)?)?: no such host`),
		"the host $1 was not found",
	},
	{re(`lookup ([^\s:]+)(?: on [^:]+(?::\d+)?)?: no such host`), "the host $1 was not found"},
	{
		re(`dial (?:tcp|udp)[46]? (\S+): (?:connect: )?connection refused`),
		"$1: connection refused: nothing listens there",
	},
	{re(`dial (?:tcp|udp)[46]? (\S+): (?:connect: )?(no route to host|network is unreachable|cannot ` +
		`assign requested address)`), "$1: $2"},
	{re(`dial unix (\S+): connect: `), "$1: "},
	{re(`dial (?:tcp|udp)[46]? (\S+): i/o timeout`), "$1: no answer in time"},
	{re(`(?:read|write) (?:tcp|udp)[46]? \S+->(\S+): (?:read|write): `), "$1: "},
	{re(`(?:net/http: )?(?:request canceled(?: while waiting for connection)?|context deadline exceeded) ` +
		`?\(Client\.Timeout[^)]*\)`), "no answer in time"},
	{re(`context deadline exceeded|net/http: TLS handshake timeout|\bi/o timeout`), "no answer in time"},
	{
		re(`http: server gave HTTP response to HTTPS client|` +
			`tls: first record does not look like a TLS handshake`),
		"the server there does not speak TLS",
	},
	{re(`net/http: HTTP/1\.x transport connection broken: malformed HTTP (?:response|status code|version) ?`),
		"the server there does not speak HTTP "},
	{
		re(`listen (?:tcp|udp)[46]? ([^\s:]*:\d+|\S+): bind: address already in use`),
		"$1: another program listens on this address",
	},
	{re(`listen (?:tcp|udp|unix)[46]? (\S+): bind: `), "$1: "},
	{
		re(`tls: failed to find (?:any PEM data|"CERTIFICATE" PEM block|certificate PEM data) in ` +
			`certificate input[^:;\n]*`),
		"no PEM certificate in the file",
	},
	{
		re(`tls: failed to find (?:any PEM data|PEM block[^:;\n]*) in key input[^:;\n]*`),
		"no PEM private key in the file",
	},
	{
		re(`tls: private key (?:type )?does not match public key(?: type)?`),
		"the private key does not belong to the certificate",
	},
	{
		re(`tls: failed to parse private key|tls: found unknown private key type in PKCS#8 wrapping`),
		"a private key that does not decode",
	},
	{re(`tls: failed to verify certificate: `), "the server's certificate is not trusted: "},
	{re(`remote error: tls: `), "the server ended the TLS handshake: "},
	{
		re(`\btls: (failed|handshake|unsupported|server|client|invalid|unexpected|oversized|received|` +
			`protocol|bad|too many|no )`),
		"$1",
	},
	// The parser of the command line.
	{re(`expected a valid \d+ bit (?:u?int|integer) but got ("(?:\\.|[^"])*")`), "$1 is not a whole number"},
	{
		re(`expected a valid \d+ bit (?:u?int|integer) but got ([^\s("]+)(?: \(\w+\))?`),
		"$1 is not a whole number",
	},
	{re(`expected (?:a )?(?:valid )?\d+ bit float\w* but got ("(?:\\.|[^"])*")`), "$1 is not a number"},
	{re(`expected duration but got ("(?:\\.|[^"])*"): .*`), "$1 is not a duration such as 90m or 24h"},
	{
		re(`bool value must be true, 1, yes, false, 0 or no but got ("(?:\\.|[^"])*")`),
		"$1 is neither true nor false",
	},
	{re(`missing flags: `), "missing: "},
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
