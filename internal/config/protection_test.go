package config

import (
	"strings"
	"testing"
	"time"
)

func TestWhatProtectsKeysIsCompleted(t *testing.T) {
	c, err := load(t, `{"vault":{"protection":"transit","transit":{"url":"https://bao.example:8200/","key":"probity",
		"mount":"a/kms/","namespace":"team/one","tokenFile":"t"}}}`, true)
	tr := c.Vault.Transit
	if err != nil || tr.URL != "https://bao.example:8200" || tr.Mount != "a/kms" || tr.Timeout != Duration(5*time.Second) {
		t.Errorf("%+v, %v", tr, err)
	}
	for _, text := range []string{
		`{}`, `{"vault":{"protection":"software"}}`,
		`{"vault":{"transit":{"url":"http://127.0.0.1:8200","key":"k","tokenFile":"t"}}}`,
		`{"signing":{"pkcs11":{"module":"m","token":"t","pinFile":"p"}},"vault":{"protection":"pkcs11",
			"pkcs11":{"softwareWrapped":true}}}`,
	} {
		if c, err := load(t, text, true); err != nil || c.Vault.Protection == "" {
			t.Errorf("%s: %q, %v", text, c.Vault.Protection, err)
		}
	}
	if c, _ := load(t, `{}`, true); c.Vault.Protection != ProtectionSoftware || c.Vault.Transit != (Transit{}) {
		t.Errorf("%+v", c.Vault)
	}
}

func TestWhatCannotProtectKeysIsRefused(t *testing.T) {
	transit := func(members string) string {
		return `{"vault":{"transit":{` + members + `}}}`
	}
	for name, tc := range map[string]struct{ text, want string }{
		"an unknown protection":      {`{"vault":{"protection":"pkcs"}}`, "did you mean pkcs11?"},
		"pkcs11 without a token":     {`{"vault":{"protection":"pkcs11"}}`, "signing.pkcs11.module"},
		"transit without a service":  {`{"vault":{"protection":"transit"}}`, "give url, key and tokenFile"},
		"software wrapped elsewhere": {`{"vault":{"pkcs11":{"softwareWrapped":true}}}`, "vault.protection pkcs11"},
		"transit without a key":      {transit(`"url":"https://b","tokenFile":"t"`), "belong together"},
		"transit without a token":    {transit(`"url":"https://b","key":"k"`), "belong together"},
		"transit without a URL":      {transit(`"tokenFile":"t","key":"k"`), "belong together"},
		"an unknown member":          {transit(`"token":"hvs.x"`), "token"},
		"http to elsewhere":          {transit(`"url":"http://b","key":"k","tokenFile":"t"`), "https URL without a path"},
		"a URL with a path":          {transit(`"url":"https://b/v1","key":"k","tokenFile":"t"`), "https URL without a path"},
		"a URL with a query":         {transit(`"url":"https://b?","key":"k","tokenFile":"t"`), "https URL without a path"},
		"a URL with a user":          {transit(`"url":"https://u@b","key":"k","tokenFile":"t"`), "https URL without a path"},
		"no URL at all":              {transit(`"url":"b:8200","key":"k","tokenFile":"t"`), "https URL without a path"},
		"a key with a slash":         {transit(`"url":"https://b","key":"a/b","tokenFile":"t"`), "vault.transit.key"},
		"a key that leads up":        {transit(`"url":"https://b","key":"..","tokenFile":"t"`), "vault.transit.key"},
		"a mount that leads up":      {transit(`"url":"https://b","key":"k","mount":"a/../b","tokenFile":"t"`), "transit.mount"},
		"a mount with a query":       {transit(`"url":"https://b","key":"k","mount":"a?b","tokenFile":"t"`), "transit.mount"},
		"a namespace of two lines":   {transit(`"url":"https://b","key":"k","namespace":"a\nb","tokenFile":"t"`), "transit.namespace"},
		"a short timeout":            {transit(`"url":"https://b","key":"k","tokenFile":"t","timeout":"1ms"`), "transit.timeout"},
		"a long timeout":             {transit(`"url":"https://b","key":"k","tokenFile":"t","timeout":"1h"`), "transit.timeout"},
	} {
		if _, err := load(t, tc.text, true); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}
