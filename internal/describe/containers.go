package describe

import (
	"bytes"
	"encoding/base64"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// inspectContainers shows what agents of confidential containers send: the request of
// Trustee's key broker protocol (RCAR), with what its evidence contains, and the evidence of
// the attestation agent by itself.
func inspectContainers(text jsontext.Value) Fields {
	var members map[string]jsontext.Value
	if json.Unmarshal(text, &members) != nil {
		return nil
	}
	evidence, isRequest := members["tee-evidence"]
	if !isRequest {
		if found := agentEvidence(members); found != nil {
			return append(Fields{{"what", "evidence of confidential containers (not verified)"}}, found...)
		}
		return nil
	}
	f := Fields{{"what", "attestation request of confidential containers (not verified)"}}
	for _, name := range []string{"tee", "version", "init-data", "runtime-data"} {
		if v, ok := members[name]; ok {
			f.Add(name, v)
		}
	}
	evidence = nested(evidence)
	var parts map[string]jsontext.Value
	if json.Unmarshal(evidence, &parts) != nil {
		return append(f, Field{"tee-evidence", evidence})
	}
	if primary, ok := parts["primary_evidence"]; ok {
		f.Add("primary_evidence", containerEvidence(primary))
		if more := nested(parts["additional_evidence"]); len(more) > 0 {
			var each map[string]jsontext.Value
			if json.Unmarshal(more, &each) == nil {
				devices := Fields{}
				for _, tee := range slices.Sorted(maps.Keys(each)) {
					devices.Add(tee, containerEvidence(each[tee]))
				}
				f.Add("additional_evidence", devices)
			} else {
				f.Add("additional_evidence", more)
			}
		}
		return f
	}
	return append(f, Field{"tee-evidence", containerEvidence(evidence)})
}

// nested takes JSON out of a JSON string.
func nested(v jsontext.Value) jsontext.Value {
	var inner string
	if v.Kind() == '"' && json.Unmarshal(v, &inner) == nil {
		if text := jsontext.Value(inner); text.IsValid() {
			return text
		}
	}
	return v
}

func containerEvidence(v jsontext.Value) any {
	v = nested(v)
	var members agentMembers
	if json.Unmarshal(v, &members) == nil {
		if found := agentEvidence(members); found != nil {
			return found
		}
	}
	return v
}

// agentEvidence shows evidence as the attestation agent writes it for one TEE.
func agentEvidence(members agentMembers) Fields {
	if quote := inspectQuote(members.decoded("quote")); quote != nil {
		f := Fields{{"quote", quote}}
		for _, name := range []string{"cc_eventlog", "aa_eventlog"} {
			if log := inspectLog(members.decoded(name)); log != nil {
				f.Add(name, log)
			} else if v, ok := members[name]; ok && v.Kind() != 'n' {
				f.Add(name, v)
			}
		}
		return f
	}
	if _, ok := members["attestation_report"]; ok {
		return agentSNP(members)
	}
	if token := inspectCCA(members.decoded("token")); token != nil {
		return Fields{{"token", token}}
	}
	if svn, ok := members["svn"]; ok && len(members) <= 3 && members["report_data"] != nil {
		return Fields{{"tee", "sample: proves nothing"}, {"svn", svn}, {"report_data", members["report_data"]}}
	}
	return nil
}

// agentMembers are the members of the agent's JSON.
type agentMembers map[string]jsontext.Value

// decoded reads a member in any base64, or returns nil.
func (m agentMembers) decoded(name string) []byte {
	var text string
	if json.Unmarshal(m[name], &text) != nil {
		return nil
	}
	for _, encoding := range []*base64.Encoding{
		base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding,
	} {
		if b, err := encoding.DecodeString(text); err == nil && len(b) > 0 {
			return b
		}
	}
	return nil
}

// agentSNP shows a SEV-SNP report, which is the structure of the sev crate as JSON or bytes,
// and its certificates.
func agentSNP(members agentMembers) (f Fields) {
	report := members["attestation_report"]
	if found := inspectSNP(members.decoded("attestation_report")); found != nil {
		f.Add("attestation_report", found)
	} else if report.Kind() == '{' {
		f.Add("attestation_report", report)
	} else {
		return nil
	}
	var chain []struct {
		Type jsontext.Value `json:"cert_type"`
		Data []int          `json:"data"`
	}
	if json.Unmarshal(members["cert_chain"], &chain) != nil {
		return f
	}
	var list []Fields
	for _, c := range chain {
		der := make([]byte, len(c.Data))
		for i, n := range c.Data {
			der[i] = byte(n)
		}
		one := inspectDER(der)
		if one == nil {
			one = inspectPEM(bytes.TrimSpace(der))
		}
		if one == nil {
			one = Fields{{"bytes", len(der)}}
		}
		list = append(list, append(Fields{{"cert_type", c.Type}}, one...))
	}
	f.addList("cert_chain", list)
	return f
}
