package config

import (
	"strings"
	"testing"
)

// --dev gives an owner token to every caller, so nothing that others can reach
// may start with it.
func TestDevelopmentIsRefusedWhereOthersCanReachIt(t *testing.T) {
	for text, want := range map[string]string{
		`{"listen":"0.0.0.0:8443"}`:                                             "not a loopback address",
		`{"listen":":8443"}`:                                                    "not a loopback address",
		`{"listen":"[::]:8443"}`:                                                "not a loopback address",
		`{"listen":"[::ffff:0.0.0.0]:8443"}`:                                    "not a loopback address",
		`{"listen":"192.168.1.7:8443"}`:                                         "not a loopback address",
		`{"listen":"[fe80::1%eth0]:8443"}`:                                      "not a loopback address",
		`{"listen":"[2001:db8::1]:8443"}`:                                       "not a loopback address",
		`{"listen":"localhost:8443","tls":{"certificate":"c","key":"k"}}`:       "exclude each other",
		`{"listen":"0.0.0.0:8443","url":"https://localhost:8443"}`:              "not a loopback address",
		`{"listen":"10.0.0.1:1","development":{"time":"2025-06-11T19:18:17Z"}}`: "not a loopback address",
	} {
		if _, err := load(t, text, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{
		`{}`, `{"listen":"127.0.0.1:1"}`, `{"listen":"127.8.9.1:1"}`, `{"listen":"[::1]:1"}`,
		`{"listen":"[::ffff:127.0.0.1]:1"}`,
		`{"listen":"localhost.:1"}`, `{"listen":"a.localhost:1"}`,
		`{"listen":"box:1"}`, `{"listen":"[::1]:1","url":"https://localhost:1"}`,
	} {
		if _, err := load(t, text, true); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
