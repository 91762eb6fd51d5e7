package main

import (
	"fmt"
	"strings"
)

// eventLog makes the JSON of a boot's events, in the shape that policies query.
func eventLog(n int) string {
	events := make([]string, n)
	for i := range events {
		switch i % 4 {
		case 0:
			events[i] = fmt.Sprintf(
				`{"EventSeq":%d,"EventTypeString":"EV_EFI_VARIABLE_DRIVER_CONFIG","PcrIndex":7,`+
					`"ProcessedData":{"VariableGuid":"8BE4DF61-93CA-11D2-AA0D-00E098032B8C",`+
					`"UnicodeName":"SecureBoot%d","VariableData":"AQ"}}`,
				i,
				i/4,
			)
		case 1:
			events[i] = fmt.Sprintf(`{"EventSeq":%d,"EventTypeString":"EV_EFI_BOOT_SERVICES_APPLICATION",`+
				`"PcrIndex":4,"Digests":{"SHA256":"%064x"},"ProcessedData":{"DevicePath":"\\EFI\\app%d.efi"}}`,
				i, i, i)
		case 2:
			events[i] = fmt.Sprintf(
				`{"EventSeq":%d,"EventTypeString":"EV_EVENT_TAG","PcrIndex":12,`+
					`"ProcessedData":{"EVENT_TRUSTBOUNDARY":{"EVENT_CODEINTEGRITY":true,`+
					`"EVENT_LOADEDMODULE_AGGREGATION":[{"EVENT_FILEPATH":"\\Windows\\System32\\drivers\\`+
					`d%d.sys","EVENT_IMAGEVALIDATED":true,"EVENT_MODULE_SVN":%d}]}}}`,
				i, i, i,
			)
		default:
			events[i] = fmt.Sprintf(`{"EventSeq":%d,"EventTypeString":"EV_SEPARATOR","PcrIndex":%d}`, i, i%12)
		}
	}
	return `{"Events":[` + strings.Join(events, ",") + `]}`
}

// bootPolicy asks of a boot what real policies ask: twelve queries.
const bootPolicy = `version=1.2;
authorizationrules{
	=> permit();
};
issuancerules{
	c:[type=="events"] => add(type="variables", value=JmesPath(c.value,
		"Events[? EventTypeString == 'EV_EFI_VARIABLE_DRIVER_CONFIG' && ` +
	`ProcessedData.VariableGuid == '8BE4DF61-93CA-11D2-AA0D-00E098032B8C']"));
	c:[type=="variables"] => issue(type="bootSecured", value=JsonToClaimValue(JmesPath(c.value,
		"[? ProcessedData.UnicodeName == 'SecureBoot0'] | length(@) == ` + "`1`" +
	` && @[0].ProcessedData.VariableData == 'AQ'")));
	c:[type=="events"] => add(type="tags", value=JmesPath(c.value,
		"Events[? EventTypeString == 'EV_EVENT_TAG' && (PcrIndex == ` + "`12`" + ` || ` +
	`PcrIndex == ` + "`13`" + `)].ProcessedData.EVENT_TRUSTBOUNDARY"));
	c:[type=="tags"] => issue(type="codeIntegrity", value=ContainsOnlyValue(
		JsonToClaimValue(JmesPath(c.value, "[*].EVENT_CODEINTEGRITY")), true));
	c:[type=="tags"] => issue(type="drivers", value=JsonToClaimValue(JmesPath(c.value,
		"[*].EVENT_LOADEDMODULE_AGGREGATION[] | [? EVENT_IMAGEVALIDATED == ` + "`true`" +
	`].EVENT_FILEPATH | [0:5]")));
	c:[type=="tags"] => issue(type="elam", value=JsonToClaimValue(JmesPath(c.value,
		"[*].EVENT_LOADEDMODULE_AGGREGATION[] | ` +
	`[? equals_ignore_case(EVENT_FILEPATH, '\\\\windows\\\\system32\\\\drivers\\\\d2.sys')] | ` +
	`length(@) == ` + "`1`" + `")));
	c:[type=="events"] => add(type="separator", value=JmesPath(c.value,
		"Events[? EventTypeString == 'EV_SEPARATOR' && PcrIndex == ` + "`7`" + `] | @[0].EventSeq"));
	s:[type=="separator"] => add(type="before", value=AppendString(AppendString(
		"Events[? EventSeq < ` + "`" + `", s.value), "` + "`" + `] | length(@)"));
	c:[type=="events"] && q:[type=="before"] =>
		issue(type="eventsBefore", value=JsonToClaimValue(JmesPath(c.value, q.value)));
	c:[type=="events"] => issue(type="applications", value=JmesPath(c.value,
		"Events[? EventTypeString == 'EV_EFI_BOOT_SERVICES_APPLICATION'].Digests.SHA256 | length(@)"));
	c:[type=="events"] =>
		issue(type="first", value=JmesPath(c.value, "Events[0].{seq: EventSeq, pcr: PcrIndex}"));
	c:[type=="events"] => issue(type="last", value=JmesPath(c.value, "Events[-1].EventSeq"));
	c:[type=="events"] => issue(type="highest", value=JmesPath(c.value, "max(Events[*].PcrIndex)"));
	c:[type=="events"] => issue(type="kinds",
		value=JmesPath(c.value, "sort(Events[*].EventTypeString) | [::75]"));
};`
