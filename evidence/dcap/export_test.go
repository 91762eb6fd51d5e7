package dcap

// What the tests of this package's parsers reach for.
var (
	ParsePEM          = parsePEM
	ParseSGXExtension = parseSGXExtension
)
