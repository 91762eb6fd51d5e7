package tpmfiles

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
)

// maxInflated bounds one compressed part of a quote of an old Keylime agent.
const maxInflated = 64 << 10

// keylimeJSON is what a Keylime agent answers to a request for a quote, and what its
// registrar and verifier tell about an agent; the members are in results, or alone.
type keylimeJSON struct {
	Results *keylimeJSON `json:"results"`
	Quote   string       `json:"quote"`
	// Log is the log of measured boot in base64, List the IMA list as text.
	Log  string `json:"mb_measurement_list"`
	List string `json:"ima_measurement_list"`
	// AK is a TPM2B_PUBLIC in base64, EKCertificate a DER certificate in base64.
	AK            string `json:"aik_tpm"`
	EKCertificate string `json:"ekcert"`
}

// keylimeFile reads a quote as Keylime's agents send it (r<base64>:<base64>:<base64>:
// message, signature, PCR file), alone or in its JSON answer, and the keys that its
// registrar knows.
func keylimeFile(b []byte) File {
	text := bytes.TrimSpace(b)
	if len(text) == 0 {
		return File{}
	}
	var in keylimeJSON
	switch {
	case text[0] == '{':
		if json.Unmarshal(text, &in) != nil {
			return File{}
		}
		if in.Results != nil {
			in = *in.Results
		}
	case text[0] == 'r' || text[0] == '"':
		in.Quote = strings.Trim(string(text[:min(len(text), maxText)]), `"`)
	}
	switch {
	case strings.HasPrefix(in.Quote, "r"):
		return keylimeQuote(&in, text[0] == '{')
	case in.AK != "":
		return keylimeKeys(&in)
	}
	return File{}
}

func keylimeQuote(in *keylimeJSON, isJSON bool) File {
	parts, inflated, err := keylimeParts(in.Quote)
	if err != nil {
		return File{}
	}
	message, signature, pcrs := messageFile(parts[0]), signatureFile(parts[1]), pcrFile(parts[2])
	if message.Type == Unknown {
		return File{}
	}
	f := File{Type: Keylime, Name: "a quote of Keylime", Quote: message.Quote}
	if isJSON {
		f.Name = "a Keylime agent's answer with a quote"
	}
	if inflated {
		f.Name += ", compressed"
	}
	if message.Type != Message || signature.Type != Signature || pcrs.Type != PCRs {
		f.Type = wrongFile
		f.Hint = "one of its three parts (message, signature, PCR values) cannot be read: copy the whole text"
		return f
	}
	f.recorded = &Recorded{
		Attested:  message.Bytes,
		Signature: signature.Bytes,
		Quote:     message.Quote,
		Banks:     pick(pcrs.Banks, message.Quote.Selection),
	}
	f.Banks, f.Signature, f.Bytes = pcrs.Banks, signature.Signature, message.Bytes
	if in.Log != "" {
		log, err := base64Text(in.Log)
		if err != nil || logFile(log).Type == Unknown {
			return File{
				Type: wrongFile,
				Name: f.Name,
				Hint: "its mb_measurement_list is not a log of measured boot in base64",
			}
		}
		f.recorded.EventLog = log
	}
	if in.List != "" {
		list := imaFile([]byte(in.List))
		if list.Type != IMA {
			return File{Type: wrongFile, Name: f.Name, Hint: "its ima_measurement_list cannot be read"}
		}
		f.recorded.IMA = list.Bytes
	}
	return f
}

// keylimeParts decodes the three parts; old agents compressed each.
func keylimeParts(text string) (parts [3][]byte, inflated bool, err error) {
	list := strings.Split(strings.TrimSpace(text[1:]), ":")
	if len(list) != 3 {
		return parts, false, errors.New("want three parts: message, signature and PCR values")
	}
	for i, one := range list {
		if parts[i], err = base64.StdEncoding.DecodeString(one); err != nil {
			return parts, false, fmt.Errorf("part %d is not base64", i+1)
		}
		// A message begins with ff, a signature with 00, a PCR file with its count.
		if len(parts[i]) > 2 && parts[i][0] == 0x78 {
			if parts[i], err = inflate(parts[i]); err != nil {
				return parts, false, fmt.Errorf("part %d: %w", i+1, err)
			}
			inflated = true
		}
	}
	return parts, inflated, nil
}

func inflate(b []byte) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, errors.New("not zlib data")
	}
	out, err := io.ReadAll(io.LimitReader(z, maxInflated+1))
	if err != nil || len(out) > maxInflated {
		return nil, errors.New("broken zlib data, or too much of it")
	}
	return out, nil
}

// keylimeKeys reads the keys of an agent.
func keylimeKeys(in *keylimeJSON) File {
	b, err := base64Text(in.AK)
	if err != nil {
		return File{}
	}
	f := keyFile(b)
	if f.Type != PublicKey {
		return File{}
	}
	f.Type, f.Name = KeylimeKeys, "keys of an agent that Keylime knows: "+f.Name
	if in.EKCertificate != "" {
		if ek, err := base64Text(in.EKCertificate); err == nil && keyFile(ek).Type == EKCertificate {
			f.recorded = &Recorded{EKCertificate: ek}
		}
	}
	return f
}
